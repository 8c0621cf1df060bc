// Many connections that mostly do nothing, and what they cost a server: logins as fast as they are served,
// memory while idle, after all have come back once, after each has sent and received a burst and been quiet,
// after all have left. One line per phase.
#include <string.h>

#include "clock.h"
#include "scenarios.h"
#include "server-stat.h"
#include "traffic.h"

// A burst that has not come by then won't.
#define BURST_SILENCE_NS (3 * NS_PER_S)

static Traffic traffic;

static void on_ready(Connection *connection) {
  (void)connection;
  crew_on_ready(&traffic.crew);
}

static void on_frame(Connection *connection, uint8_t type, const uint8_t *payload, size_t length) {
  traffic_take(&traffic, connection, type, payload, length);
}

static void on_closed(Connection *connection, Phase reached, const char *why) {
  if (reached != PHASE_READY) return crew_on_failed(&traffic.crew, connection, reached, why);
  if (traffic.closed_count++ == 0)
    fprintf(stderr, "generator: idle connection %d: %s\n", connection->index, why);
}

static void rest(double seconds) {
  uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
  while (now_ns() < end)
    crew_turn(&traffic.crew, 50);
}

static void leave(void) {
  for (int i = 0; i < traffic.crew.count; i++)
    connection_close(&traffic.crew.connections[i]);
}

// One write of a burst: half of what derper keeps for a client, so that none of it is dropped.
#define PIECE_PACKETS 16
// From one piece of a connection's burst to its next.
#define PIECE_GAP_S 0.01

static void send_piece(int index, int packets) {
  if (index < 0 || index >= traffic.sender_count) return;
  Sender *sender = &traffic.senders[index];
  if (sender->connection->phase != PHASE_READY || connection_is_blocked(sender->connection)) return;
  uint64_t now = now_ns();
  for (int i = 0; i < packets && traffic_has_room(&traffic); i++)
    traffic_make_shot(&traffic, sender, now);
  shots_send(&traffic.crew.network, sender->connection);
}

// Everybody's burst goes to its neighbour, in pieces that follow close on each other; one connection begins
// after the other.
static void burst(const Options *options) {
  double gap = 1e9 / options->burst_rate;
  uint64_t start = now_ns(), last_came = 0, last_came_at = start;
  int size = options->sizes[0], packets = (options->burst_bytes + size - 1) / size, slot = 0;
  int lag = (int)(PIECE_GAP_S * options->burst_rate) + 1,
      pieces = (packets + PIECE_PACKETS - 1) / PIECE_PACKETS;
  int slots = traffic.sender_count + lag * pieces;
  traffic.window_start = start;
  traffic.window_end = start + 3600 * NS_PER_S;
  for (uint64_t now = start; slot < slots || now - last_came_at < BURST_SILENCE_NS; now = now_ns()) {
    for (; slot < slots && now >= start + (uint64_t)(slot * gap); slot++)
      for (int piece = 0; piece < pieces; piece++) {
        int left = packets - piece * PIECE_PACKETS;
        send_piece(slot - piece * lag, left < PIECE_PACKETS ? left : PIECE_PACKETS);
      }
    crew_turn(&traffic.crew, 1);
    if (traffic.ledger.came != last_came) last_came_at = now;
    last_came = traffic.ledger.came;
    if (slot == slots && last_came == traffic.ledger.made) break;
  }
}

static void print_phase(const char *name, ServerStat before, double seconds) {
  ServerStat now = server_stat(traffic.options.pid);
  int open = 0;
  for (int i = 0; i < traffic.crew.count; i++)
    open += traffic.crew.connections[i].phase == PHASE_READY;
  printf("{\"event\":\"phase\",\"name\":\"%s\",\"open\":%d,\"failed\":%d,\"closed\":%d,\"seconds\":%.3f,"
         "\"serverCpuSeconds\":%.3f,",
         name, open, traffic.crew.failed, traffic.closed_count, seconds, now.cpu_s - before.cpu_s);
  printf("\"serverRssKb\":%llu,\"serverAnonymousKb\":%llu,\"made\":%llu,\"came\":%llu,\"wrong\":%llu}\n",
         (unsigned long long)now.rss_kb, (unsigned long long)now.anonymous_kb,
         (unsigned long long)traffic.ledger.made, (unsigned long long)traffic.ledger.came,
         (unsigned long long)(traffic.ledger.corrupted + traffic.ledger.misdelivered));
  fflush(stdout);
  fprintf(stderr, "%-10s %d open, %d failed, %.2f s, server CPU %.2f s, memory %.1f MB\n", name, open,
          traffic.crew.failed, seconds, now.cpu_s - before.cpu_s, (double)now.rss_kb / 1024);
}

static void run_phase(const char *name, const Options *options) {
  uint64_t start = now_ns();
  ServerStat before = server_stat(options->pid);
  if (strcmp(name, "reconnect") == 0) {
    leave();
    // The servers' turn to see that all are gone; what is measured is that they are all back.
    rest(options->settle_seconds);
    start = now_ns();
    before = server_stat(options->pid);
  }
  if (strcmp(name, "fresh") == 0 || strcmp(name, "reconnect") == 0)
    crew_bring_in(&traffic.crew, options->in_flight);
  else if (strcmp(name, "burst") == 0)
    burst(options);
  else if (strcmp(name, "quiet") == 0)
    rest(options->quiet_seconds);
  else if (strcmp(name, "leave") == 0)
    leave();
  else
    fail("--phases %s: expected fresh, reconnect, burst, quiet or leave", name);
  double seconds = (double)(now_ns() - start) / 1e9;
  double cpu_s = server_stat(options->pid).cpu_s - before.cpu_s;
  rest(options->settle_seconds);
  // The CPU time is that of the work; the memory is what is left of it a little later.
  before.cpu_s = server_stat(options->pid).cpu_s - cpu_s;
  print_phase(name, before, seconds);
}

void run_hold(const Options *options) {
  char phases[128];
  traffic.options = *options;
  traffic.crew.network.handler = (Handler){on_ready, on_frame, on_closed};
  crew_start(&traffic.crew, options, options->count);
  traffic_arrange(&traffic);
  print_phase("before", server_stat(options->pid), 0);
  snprintf(phases, sizeof phases, "%s", options->phases[0] == 0 ? "fresh" : options->phases);
  for (char *name = strtok(phases, ","); name != NULL; name = strtok(NULL, ","))
    run_phase(name, options);
}
