// See idle-connections.h. Goes through phases in the order of --phases and prints one line per phase:
//   fresh      all connections log in
//   reconnect  all connections are closed and log in again
//   burst      each connection sends a burst to the next
//   quiet      nothing happens
//   leave      all connections are closed
#include "idle-connections.h"

#include <stdio.h>
#include <string.h>

#include "clients.h"
#include "clock.h"
#include "connection.h"
#include "fail.h"
#include "send-buffer.h"
#include "server-stat.h"
#include "traffic.h"

// After this time without a packet the rest of a burst counts as lost.
#define BURST_SILENCE_NS (3 * NS_PER_S)
// Packets in one part of a burst: half of derper's queue for a client, so that none of them is dropped.
#define PART_PACKETS 16
// The time from one part of a connection's burst to the next.
#define PART_GAP_S 0.01

static Traffic traffic;

static void on_ready(Connection *connection) {
  (void)connection;
  clients_on_ready(&traffic.clients);
}

static void on_frame(Connection *connection, uint8_t type, const uint8_t *payload, size_t length) {
  traffic_on_frame(&traffic, connection, type, payload, length);
}

static void on_closed(Connection *connection, Phase reached, const char *why) {
  if (reached != PHASE_READY) return clients_on_failed(&traffic.clients, connection, reached, why);
  if (traffic.closed_count++ == 0) fprintf(stderr, "generator: idle connection %d: %s\n", connection->index, why);
}

static void poll_for(double seconds) {
  uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
  while (now_ns() < end)
    clients_poll(&traffic.clients, 50);
}

static void close_all(void) {
  for (int i = 0; i < traffic.clients.count; i++)
    connection_close(&traffic.clients.connections[i]);
}

static void send_part(int index, int packets) {
  if (index < 0 || index >= traffic.sender_count) return;
  Sender *sender = &traffic.senders[index];
  if (sender->connection->phase != PHASE_READY || connection_is_blocked(sender->connection)) return;
  uint64_t now = now_ns();
  for (int i = 0; i < packets && traffic_has_room(&traffic); i++)
    traffic_make_batch(&traffic, sender, now);
  send_buffer_write(&traffic.clients.network, sender->connection);
}

// Connection i starts its burst in slot i and sends a further part every `lag` slots.
static void send_bursts(const Options *options) {
  double gap = 1e9 / options->burst_rate;
  uint64_t start = now_ns(), last_received = 0, last_received_at = start;
  int size = options->packet_sizes.sizes[0], packets = (options->burst_bytes + size - 1) / size, slot = 0;
  int lag = (int)(PART_GAP_S * options->burst_rate) + 1, parts = (packets + PART_PACKETS - 1) / PART_PACKETS;
  int slots = traffic.sender_count + lag * parts;
  traffic.window_start = start;
  traffic.window_end = start + 3600 * NS_PER_S;
  for (uint64_t now = start; slot < slots || now - last_received_at < BURST_SILENCE_NS; now = now_ns()) {
    for (; slot < slots && now >= start + (uint64_t)(slot * gap); slot++)
      for (int part = 0; part < parts; part++) {
        int left = packets - part * PART_PACKETS;
        send_part(slot - part * lag, left < PART_PACKETS ? left : PART_PACKETS);
      }
    clients_poll(&traffic.clients, 1);
    if (traffic.counts.received != last_received) last_received_at = now;
    last_received = traffic.counts.received;
    if (slot == slots && last_received == traffic.counts.created) break;
  }
}

static void print_phase(const char *name, ServerStat before, double seconds) {
  ServerStat now = server_stat(traffic.options.pid);
  int open = 0;
  for (int i = 0; i < traffic.clients.count; i++)
    open += traffic.clients.connections[i].phase == PHASE_READY;
  printf("{\"event\":\"phase\",\"name\":\"%s\",\"open\":%d,\"failed\":%d,\"closed\":%d,\"seconds\":%.3f,"
         "\"serverCpuSeconds\":%.3f,",
         name, open, traffic.clients.failed, traffic.closed_count, seconds, now.cpu_s - before.cpu_s);
  printf("\"serverRssKb\":%llu,\"serverAnonymousKb\":%llu,\"created\":%llu,\"received\":%llu,\"wrong\":%llu}\n",
         (unsigned long long)now.rss_kb, (unsigned long long)now.anonymous_kb,
         (unsigned long long)traffic.counts.created, (unsigned long long)traffic.counts.received,
         (unsigned long long)(traffic.counts.corrupted + traffic.counts.misdelivered));
  fflush(stdout);
  fprintf(stderr, "%-10s %d open, %d failed, %.2f s, server CPU %.2f s, memory %.1f MB\n", name, open,
          traffic.clients.failed, seconds, now.cpu_s - before.cpu_s, (double)now.rss_kb / 1024);
}

static void run_phase(const char *name, const Options *options) {
  uint64_t start = now_ns();
  ServerStat before = server_stat(options->pid);
  if (strcmp(name, "reconnect") == 0) {
    close_all();
    // The server first notices that all connections are closed; the phase measures the logins only.
    poll_for(options->settle_seconds);
    start = now_ns();
    before = server_stat(options->pid);
  }
  if (strcmp(name, "fresh") == 0 || strcmp(name, "reconnect") == 0)
    clients_log_in(&traffic.clients, options->in_flight);
  else if (strcmp(name, "burst") == 0)
    send_bursts(options);
  else if (strcmp(name, "quiet") == 0)
    poll_for(options->quiet_seconds);
  else if (strcmp(name, "leave") == 0)
    close_all();
  else
    fail("--phases %s: expected fresh, reconnect, burst, quiet or leave", name);
  double seconds = (double)(now_ns() - start) / 1e9;
  double cpu_s = server_stat(options->pid).cpu_s - before.cpu_s;
  poll_for(options->settle_seconds);
  // The reported CPU time is that of the phase itself; the reported memory is read after the settle time.
  before.cpu_s = server_stat(options->pid).cpu_s - cpu_s;
  print_phase(name, before, seconds);
}

void run_idle_connections(const Options *options) {
  char phases[128];
  traffic.options = *options;
  traffic.clients.network.handler = (Handler){on_ready, on_frame, on_closed};
  clients_start(&traffic.clients, options, options->count);
  traffic_arrange(&traffic);
  print_phase("before", server_stat(options->pid), 0);
  snprintf(phases, sizeof phases, "%s", options->phases[0] == 0 ? "fresh" : options->phases);
  for (char *name = strtok(phases, ","); name != NULL; name = strtok(NULL, ","))
    run_phase(name, options);
}
