// A table of flags; what each does is said by --help.
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"
#include "packet.h"

static const char HELP[] =
    "usage: generator --addr HOST:PORT --logins FILE [options]\n"
    "  --plain              no TLS\n"
    "  --pid PID            the server's process: its CPU time and memory are reported\n"
    "  --far HOST:PORT --far-logins FILE [--far-pid PID]\n"
    "                       the receivers are at another relay of the mesh (pairs, fan-in)\n"
    "  --login-from N       use the file's logins from the Nth on (several processes, one file)\n"
    "  --in-flight N        logins under way at once (64)\n"
    "  --wait               print {\"event\":\"ready\"} and begin at 'go NANOSECONDS' on standard input\n"
    "  --realtime           sleep between packets, at real-time priority: for probes\n"
    "  --strict             a connection closed by the server ends the run\n"
    "flows:\n"
    "  --pairs N | --fan-in N | --fan-out N\n"
    "  --size BYTES         packets, 32 to 65536 (1420); or --mix BYTES:WEIGHT,BYTES:WEIGHT...\n"
    "  --batch K            frames in one TLS record (1)\n"
    "  --rate R             frames per second in all, by a schedule; 0 is all that can be sent (0)\n"
    "  --per-write N        records in one write when all is sent that can be (1); by a schedule: what is "
    "due\n"
    "  --warm S  --secs S   before the measured window, and the window (1, 5)\n"
    "  --drain S            how long packets of the window may still arrive (0.2; 15 without a rate)\n"
    "  --interval S         a line of delays every S seconds\n"
    "  --slow BYTES_PER_S   the first receiver reads no more; --slow-until S: nothing from then on\n"
    "hold, storm, churn, STUN:\n"
    "  --hold N             open N connections; --phases fresh,reconnect,burst,quiet,leave\n"
    "  --burst BYTES        what each sends to its neighbour in one go (61440); --burst-rate "
    "CONNECTIONS_PER_S (500)\n"
    "  --quiet S            (60)   --settle S  before memory is read (2)\n"
    "  --storm N            hold N connections and come back at once whenever closed, for at most --secs\n"
    "  --churn N            N clients log in and leave, --rate logins per second\n"
    "  --stun               binding requests, --rate per second\n";

typedef enum { KIND_TEXT, KIND_INT, KIND_NUMBER, KIND_SET } Kind;

static void read_mix(Options *options, const char *text) {
  options->size_count = 0;
  options->weight_sum = 0;
  for (const char *at = text; at != NULL && *at != 0;) {
    int size = 0, weight = 1;
    if (options->size_count == SIZES_MAX || sscanf(at, "%d:%d", &size, &weight) < 1 || weight < 1)
      fail("--size or --mix %s: expected at most %d of BYTES or BYTES:WEIGHT, with commas", text, SIZES_MAX);
    if (size < PACKET_MIN || size > PACKET_MAX)
      fail("packets of %d bytes: expected %d to %d", size, PACKET_MIN, PACKET_MAX);
    options->sizes[options->size_count] = size;
    options->weights[options->size_count++] = weight;
    options->weight_sum += weight;
    at = strchr(at, ',');
    if (at != NULL) at++;
  }
}

// Flags that choose what is done; answers false for any other.
static bool read_scenario(Options *options, const char *flag, const char *value) {
  static const struct {
    const char *flag;
    Scenario scenario;
    Topology topology;
  } SCENARIOS[] = {
      {"--pairs", SCENARIO_FLOW, TOPOLOGY_PAIRS},     {"--fan-in", SCENARIO_FLOW, TOPOLOGY_FAN_IN},
      {"--fan-out", SCENARIO_FLOW, TOPOLOGY_FAN_OUT}, {"--hold", SCENARIO_HOLD, TOPOLOGY_RING},
      {"--storm", SCENARIO_STORM, TOPOLOGY_RING},     {"--churn", SCENARIO_CHURN, TOPOLOGY_RING}};
  for (size_t i = 0; i < sizeof SCENARIOS / sizeof *SCENARIOS; i++) {
    if (strcmp(flag, SCENARIOS[i].flag) != 0) continue;
    options->scenario = SCENARIOS[i].scenario;
    options->topology = SCENARIOS[i].topology;
    options->count = atoi(value);
    if (options->count < 1) fail("%s %s: expected a number from 1 on", flag, value);
    return true;
  }
  return false;
}

static bool read_switch(Options *options, const char *flag) {
  if (strcmp(flag, "--help") == 0) {
    fputs(HELP, stdout);
    exit(0);
  }
  if (strcmp(flag, "--plain") == 0) return options->is_plain = true;
  if (strcmp(flag, "--wait") == 0) return options->waits_for_go = true;
  if (strcmp(flag, "--realtime") == 0) return options->is_realtime = true;
  if (strcmp(flag, "--strict") == 0) return options->is_strict = true;
  if (strcmp(flag, "--stun") != 0) return false;
  options->scenario = SCENARIO_STUN;
  return true;
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
               {"--batch", KIND_INT, &o->batch},
               {"--burst", KIND_INT, &o->burst_bytes},
               {"--per-write", KIND_INT, &o->per_write},
               {"--rate", KIND_NUMBER, &o->rate},
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
    if (FLAGS[i].kind != KIND_TEXT && (rest == value || *rest != 0))
      fail("%s %s: expected a number", flag, value);
    if (FLAGS[i].kind == KIND_TEXT) *(const char **)FLAGS[i].into = value;
    if (FLAGS[i].kind == KIND_INT) *(int *)FLAGS[i].into = (int)number;
    if (FLAGS[i].kind == KIND_NUMBER) *(double *)FLAGS[i].into = number;
    return;
  }
  fail("%s: no such option; --help lists them", flag);
}

Options options_read(int argc, char **argv) {
  Options options = {.in_flight = 64,
                     .batch = 1,
                     .per_write = 1,
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
  read_mix(&options, "1420");
  for (int i = 1; i < argc; i++) {
    if (read_switch(&options, argv[i])) continue;
    if (i + 1 == argc) fail("%s: expected a value, or --help", argv[i]);
    const char *flag = argv[i], *value = argv[++i];
    if (read_scenario(&options, flag, value)) continue;
    if (strcmp(flag, "--size") == 0 || strcmp(flag, "--mix") == 0)
      read_mix(&options, value);
    else
      read_value(&options, flag, value);
  }
  if (options.address == NULL) fail("--addr is missing: HOST:PORT of the server");
  if (options.scenario != SCENARIO_STUN && options.logins == NULL)
    fail("--logins is missing: a file of logins");
  if (options.far_address != NULL && options.far_logins == NULL)
    fail("--far-logins is missing: a file of logins for the server that --far names");
  if (options.far_address != NULL &&
      (options.scenario != SCENARIO_FLOW || options.topology == TOPOLOGY_FAN_OUT))
    fail("--far: expected --pairs or --fan-in with it");
  if (options.scenario != SCENARIO_STUN && options.count == 0)
    fail("nothing to do: --pairs, --hold, ... or --help");
  // What waits in socket buffers at the end is delivered later; by then it is no longer the rate that was
  // carried.
  if (options.drain_seconds < 0) options.drain_seconds = options.rate > 0 ? 0.2 : 15;
  return options;
}

int options_size(const Options *options, uint64_t sender, uint64_t shot) {
  if (options->size_count == 1) return options->sizes[0];
  uint64_t drawn = (shot * 0x9e3779b97f4a7c15ull) ^ (sender * 0xc4ceb9fe1a85ec53ull);
  drawn = (drawn ^ (drawn >> 31)) * 0xff51afd7ed558ccdull;
  int left = (int)((drawn >> 33) % (uint64_t)options->weight_sum);
  for (int i = 0; i < options->size_count; i++) {
    left -= options->weights[i];
    if (left < 0) return options->sizes[i];
  }
  return options->sizes[0];
}
