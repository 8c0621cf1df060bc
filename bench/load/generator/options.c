// See options.h. HELP explains the options.
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

static const char HELP[] =
    "usage: generator --addr HOST:PORT --logins FILE [options]\n"
    "Loads a DERP server. Prints results as JSON lines on standard output, a summary on standard error.\n"
    "Exactly one scenario: --pairs, --fan-in, --fan-out, --hold, --storm, --churn, --move, --stun or --speed.\n"
    "\n"
    "  --addr HOST:PORT     the server; an IPv4 address\n"
    "  --logins FILE        prepared logins for the server (bench/load/login-file.ts); not for --stun\n"
    "  --plain              connect without TLS\n"
    "  --pid PID            report CPU time and memory of the server process\n"
    "  --far HOST:PORT --far-logins FILE [--far-pid PID]\n"
    "                       connect the receivers to another relay of the mesh (--pairs, --fan-in)\n"
    "  --login-from N       use the logins from number N on (for several processes with one file)\n"
    "  --in-flight N        logins in progress at a time (default 64)\n"
    "  --wait               print {\"event\":\"ready\"}, then start when standard input says 'go NANOSECONDS'\n"
    "  --realtime           sleep between packets and run at real-time priority: for probes\n"
    "  --tick US            packets of the schedule are due in bursts, every so many microseconds: with --realtime,\n"
    "                       a high rate leaves time to sleep\n"
    "  --strict             fail if the server closes a connection\n"
    "\n"
    "Packet load:\n"
    "  --pairs N | --fan-in N | --fan-out N\n"
    "                       N senders with a receiver each, N senders to one receiver, or one sender to N receivers\n"
    "  --size BYTES         packet size, 32 to 65536 (default 1420)\n"
    "  --mix BYTES:WEIGHT,BYTES:WEIGHT...\n"
    "                       up to 8 packet sizes\n"
    "  --batch K            frames in one TLS record (default 1)\n"
    "  --rate R             frames per second of all senders together; 0: no schedule, send as much as the\n"
    "                       sockets accept (default 0)\n"
    "  --per-write N        TLS records in one write without a schedule (default 1); with a schedule a write\n"
    "                       has all records that are due\n"
    "  --warm S             seconds before the measured window (default 1)\n"
    "  --secs S             length of the measured window in seconds (default 5)\n"
    "  --drain S            seconds to wait for packets of the window (default 0.2; 15 without a schedule)\n"
    "  --interval S         report delays every S seconds\n"
    "  --slow BYTES_PER_S   limit how fast the first receiver reads\n"
    "  --slow-until S       stop reading at the first receiver after S seconds\n"
    "\n"
    "Other scenarios:\n"
    "  --hold N             open N connections and go through phases\n"
    "  --phases LIST        of fresh, reconnect, burst, quiet, leave (default fresh)\n"
    "  --burst BYTES        bytes that each connection sends to the next in a burst (default 61440)\n"
    "  --burst-rate R       bursts that start per second (default 500)\n"
    "  --quiet S            length of the phase quiet in seconds (default 60)\n"
    "  --settle S           seconds to wait before memory is read (default 2)\n"
    "  --storm N            open N connections and reconnect at once when they are closed, for at most --secs\n"
    "  --churn N            log N clients in and out, --rate logins per second\n"
    "  --move N             N clients of two servers (--far) send --rate packets per second and move when one stops\n"
    "  --stun               send STUN binding requests, --rate per second\n"
    "  --speed              do the same work --rate times a second until standard input ends, and report how long it\n"
    "                       takes; without --rate one after another for --secs. Needs no server\n";

typedef enum { KIND_TEXT, KIND_INT, KIND_NUMBER, KIND_SET } Kind;

// Reads an option that selects a scenario; returns false for other options.
static bool read_scenario(Options *options, const char *flag, const char *value) {
  static const struct {
    const char *flag;
    Scenario scenario;
    Topology topology;
  } SCENARIOS[] = {
      {"--pairs", SCENARIO_PACKET_LOAD, TOPOLOGY_PAIRS},     {"--fan-in", SCENARIO_PACKET_LOAD, TOPOLOGY_FAN_IN},
      {"--fan-out", SCENARIO_PACKET_LOAD, TOPOLOGY_FAN_OUT}, {"--hold", SCENARIO_IDLE_CONNECTIONS, TOPOLOGY_RING},
      {"--storm", SCENARIO_RECONNECT_STORM, TOPOLOGY_RING},  {"--churn", SCENARIO_LOGIN_CHURN, TOPOLOGY_RING},
      {"--move", SCENARIO_MOVING_CLIENTS, TOPOLOGY_RING}};
  for (size_t i = 0; i < sizeof SCENARIOS / sizeof *SCENARIOS; i++) {
    if (strcmp(flag, SCENARIOS[i].flag) != 0) continue;
    options->scenario = SCENARIOS[i].scenario;
    options->topology = SCENARIOS[i].topology;
    options->count = atoi(value);
    if (options->count < 1) fail("%s %s: expected a number above 0", flag, value);
    return true;
  }
  return false;
}

// Reads an option without a value; returns false for other options.
static bool read_switch(Options *options, const char *flag) {
  if (strcmp(flag, "--help") == 0) {
    fputs(HELP, stdout);
    exit(0);
  }
  if (strcmp(flag, "--plain") == 0) return options->is_plain = true;
  if (strcmp(flag, "--wait") == 0) return options->waits_for_start = true;
  if (strcmp(flag, "--realtime") == 0) return options->is_realtime = true;
  if (strcmp(flag, "--strict") == 0) return options->is_strict = true;
  if (strcmp(flag, "--stun") == 0) return options->scenario = SCENARIO_STUN_REQUESTS, true;
  if (strcmp(flag, "--speed") == 0) return options->scenario = SCENARIO_PROCESSOR_SPEED, true;
  return false;
}

static void read_value(Options *o, const char *flag, const char *value) {
  const struct {
    const char *flag;
    Kind kind;
    void *into;
  } FLAGS[] = {{"--addr", KIND_TEXT, &o->address},
               {"--logins", KIND_TEXT, &o->logins},
               {"--far", KIND_TEXT, &o->far_address},
               {"--far-logins", KIND_TEXT, &o->far_logins},
               {"--far-pid", KIND_INT, &o->far_pid},
               {"--phases", KIND_TEXT, &o->phases},
               {"--pid", KIND_INT, &o->pid},
               {"--login-from", KIND_INT, &o->login_from},
               {"--in-flight", KIND_INT, &o->in_flight},
               {"--batch", KIND_INT, &o->frames_per_batch},
               {"--burst", KIND_INT, &o->burst_bytes},
               {"--per-write", KIND_INT, &o->batches_per_write},
               {"--rate", KIND_NUMBER, &o->rate},
               {"--tick", KIND_NUMBER, &o->tick_us},
               {"--secs", KIND_NUMBER, &o->seconds},
               {"--warm", KIND_NUMBER, &o->warm_seconds},
               {"--drain", KIND_NUMBER, &o->drain_seconds},
               {"--interval", KIND_NUMBER, &o->interval_seconds},
               {"--slow", KIND_NUMBER, &o->slow_rate},
               {"--slow-until", KIND_NUMBER, &o->slow_until},
               {"--burst-rate", KIND_NUMBER, &o->burst_rate},
               {"--quiet", KIND_NUMBER, &o->quiet_seconds},
               {"--settle", KIND_NUMBER, &o->settle_seconds}};
  for (size_t i = 0; i < sizeof FLAGS / sizeof *FLAGS; i++) {
    if (strcmp(flag, FLAGS[i].flag) != 0) continue;
    char *rest = NULL;
    double number = strtod(value, &rest);
    if (FLAGS[i].kind != KIND_TEXT && (rest == value || *rest != 0)) fail("%s %s: expected a number", flag, value);
    if (FLAGS[i].kind == KIND_TEXT) *(const char **)FLAGS[i].into = value;
    if (FLAGS[i].kind == KIND_INT) *(int *)FLAGS[i].into = (int)number;
    if (FLAGS[i].kind == KIND_NUMBER) *(double *)FLAGS[i].into = number;
    return;
  }
  fail("%s: unknown option; see --help", flag);
}

Options options_read(int argc, char **argv) {
  Options options = {.in_flight = 64,
                     .frames_per_batch = 1,
                     .batches_per_write = 1,
                     .seconds = 5,
                     .warm_seconds = 1,
                     .drain_seconds = -1,
                     .slow_rate = -1,
                     .slow_until = 1e9,
                     .phases = "",
                     .quiet_seconds = 60,
                     .burst_rate = 500,
                     .burst_bytes = 61440,
                     .settle_seconds = 2,
                     .topology = TOPOLOGY_PAIRS};
  options.packet_sizes = size_mix_parse("1420");
  for (int i = 1; i < argc; i++) {
    if (read_switch(&options, argv[i])) continue;
    if (i + 1 == argc) fail("%s: expected a value; see --help", argv[i]);
    const char *flag = argv[i], *value = argv[++i];
    if (read_scenario(&options, flag, value)) continue;
    if (strcmp(flag, "--size") == 0 || strcmp(flag, "--mix") == 0)
      options.packet_sizes = size_mix_parse(value);
    else
      read_value(&options, flag, value);
  }
  if (options.scenario == SCENARIO_PROCESSOR_SPEED) return options;
  if (options.address == NULL) fail("--addr HOST:PORT is required");
  if (options.scenario != SCENARIO_STUN_REQUESTS && options.logins == NULL) fail("--logins FILE is required");
  if (options.far_address != NULL && options.far_logins == NULL) fail("--far requires --far-logins FILE");
  bool is_load = options.scenario == SCENARIO_PACKET_LOAD && options.topology != TOPOLOGY_FAN_OUT;
  if (options.far_address != NULL && !is_load && options.scenario != SCENARIO_MOVING_CLIENTS)
    fail("--far requires --pairs, --fan-in or --move");
  if (options.scenario == SCENARIO_MOVING_CLIENTS && (options.far_address == NULL || options.rate <= 0))
    fail("--move requires --far and --rate");
  if (options.scenario != SCENARIO_STUN_REQUESTS && options.count == 0)
    fail("no scenario: expected --pairs, --hold, ...; see --help");
  // With a schedule, packets that are still in socket buffers after 0.2 s do not count as carried. Without one, all of
  // them are waited for.
  if (options.drain_seconds < 0) options.drain_seconds = options.rate > 0 ? 0.2 : 15;
  return options;
}
