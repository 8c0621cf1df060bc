// See moving-clients.h. Every client sends to the one half-way round, at a steady rate. A client whose connection ends
// dials the other server at once, as clients do that know a region's servers in order, and repeats a failed dial after a
// pause. What is due meanwhile is not sent, and neither is what this process has not come to when the time is over. Each
// client counts what it has sent and what has arrived of it.
#include "moving-clients.h"

#include <stdio.h>
#include <string.h>

#include "clients.h"
#include "clock.h"
#include "fail.h"
#include "histogram.h"
#include "memory.h"
#include "packet.h"
#include "send-buffer.h"

#define EVENTS_MAX 256
// Of four clients, three begin at the first server, which is the one that stops.
#define FAR_SHARE 4
// After a dial or a login that failed; Tailscale's clients wait about as long the first time.
#define RETRY_NS (10 * NS_PER_MS)
// Packets in a row, so that sockets are read in between.
#define SENDS_PER_ROUND 64
// What is on its way when the sending ends has arrived, or is lost, if nothing has arrived for so long.
#define QUIET_NS (3 * NS_PER_S)
// Servers drop what is older than some seconds.
#define TAIL_NS (30 * NS_PER_S)
#define NUMBERS_MAX 100000

// A client: it sends the flow that has its index.
typedef struct {
  // With a login for each of the two servers.
  const Login *logins[2];
  bool is_at_far, is_waiting;
  uint64_t dial_ns, lost_ns;
  uint32_t sent, received;
  // By packet number: whether it has arrived.
  uint8_t *has_arrived;
} Client;

static Options options;
static Clients clients;
static Client *all;
static bool is_logging_in;
static uint32_t run;
static uint64_t unsent, repeated, corrupted, disconnects, refused, failed_logins, arrived_ns, late;
static Histogram away_times, delays;

static Client *client_of(const Connection *connection) { return &all[connection - clients.connections]; }

static void use_server(int index, bool is_far) {
  Connection *connection = &clients.connections[index];
  all[index].is_at_far = is_far;
  connection->remote = is_far ? &clients.far : &clients.near;
  connection->login = all[index].logins[is_far];
}

static void on_ready(Connection *connection) {
  if (is_logging_in) return clients_on_ready(&clients);
  histogram_add(&away_times, connection->ready_ns - client_of(connection)->lost_ns);
}

static void on_frame(Connection *connection, uint8_t type, const uint8_t *payload, size_t length) {
  PacketHead head;
  (void)connection;
  if (type != FRAME_RECV) return;
  bool is_whole = length > KEY_BYTES && packet_read(payload + KEY_BYTES, length - KEY_BYTES, &head);
  if (!is_whole || head.run != run || head.flow >= (uint32_t)clients.count || head.number >= NUMBERS_MAX) {
    corrupted++;
    return;
  }
  Client *from = &all[head.flow];
  if (from->has_arrived[head.number]) {
    repeated++;
    return;
  }
  from->has_arrived[head.number] = 1;
  from->received++;
  arrived_ns = now_ns();
  histogram_add(&delays, arrived_ns - head.due_ns);
}

static void on_closed(Connection *connection, Phase reached, const char *why) {
  if (is_logging_in) return clients_on_failed(&clients, connection, reached, why);
  Client *client = client_of(connection);
  uint64_t now = now_ns();
  client->is_waiting = true;
  client->dial_ns = now;
  if (reached == PHASE_READY) {
    disconnects++;
    client->lost_ns = now;
  } else {
    client->dial_ns += RETRY_NS;
    if (reached == PHASE_DIALLING)
      refused++;
    else
      failed_logins++;
  }
  use_server((int)(connection - clients.connections), !client->is_at_far);
}

static void dial_waiting(uint64_t now) {
  for (int i = 0; i < clients.count; i++) {
    if (!all[i].is_waiting || all[i].dial_ns > now) continue;
    all[i].is_waiting = false;
    connection_dial(&clients.network, &clients.connections[i]);
  }
}

static void send_packet(int index, uint64_t due_ns) {
  Connection *from = &clients.connections[index];
  Client *client = &all[index];
  if (from->phase != PHASE_READY || connection_is_blocked(from) || client->sent == NUMBERS_MAX) {
    unsent++;
    return;
  }
  const Connection *to = &clients.connections[(index + clients.count / 2) % clients.count];
  size_t size = (size_t)options.packet_sizes.sizes[0];
  PacketHead head = {.flow = (uint32_t)index, .run = run, .number = client->sent++, .due_ns = due_ns};
  uint8_t *frame = batch_begin(&clients.network, FRAME_HEAD + size);
  frame_head(frame, to->login->key, size);
  packet_fill(frame + FRAME_HEAD, size, &head);
  batch_seal(&clients.network, from, FRAME_HEAD + size);
  send_buffer_write(&clients.network, from);
}

static int by_count(const void *a, const void *b) {
  const int x = *(const int *)a, y = *(const int *)b;
  return (x > y) - (x < y);
}

static void print_result(void) {
  uint64_t sent = 0, received = 0;
  int *lost = allocate_zeroed((size_t)clients.count, sizeof *lost);
  for (int i = 0; i < clients.count; i++) {
    sent += all[i].sent;
    received += all[i].received;
    lost[i] = (int)(all[i].sent - all[i].received);
  }
  qsort(lost, (size_t)clients.count, sizeof *lost, by_count);
  int p99 = lost[(clients.count * 99 + 99) / 100 - 1], most = lost[clients.count - 1];
  printf("{\"event\":\"moved\",\"clients\":%d,\"sent\":%llu,\"unsent\":%llu,\"late\":%llu,\"received\":%llu,"
         "\"repeated\":%llu,\"corrupted\":%llu,\"lostP99\":%d,\"lostMost\":%d,\"disconnects\":%llu,\"refusedDials\":%llu,"
         "\"failedLogins\":%llu,\"away\":",
         clients.count, (unsigned long long)sent, (unsigned long long)unsent, (unsigned long long)late,
         (unsigned long long)received, (unsigned long long)repeated, (unsigned long long)corrupted, p99, most,
         (unsigned long long)disconnects, (unsigned long long)refused, (unsigned long long)failed_logins);
  histogram_print(&away_times, stdout);
  printf(",\"delays\":");
  histogram_print(&delays, stdout);
  printf("}\n");
  fprintf(stderr, "%llu sent, %llu lost (p99 %d, most %d of a client), %llu reconnects, away p50 %.1f ms, p99 %.1f ms\n",
          (unsigned long long)sent, (unsigned long long)(sent - received), p99, most, (unsigned long long)disconnects,
          histogram_at(&away_times, 0.5) / 1e6, histogram_at(&away_times, 0.99) / 1e6);
}

static bool is_complete(void) {
  for (int i = 0; i < clients.count; i++)
    if (all[i].received < all[i].sent) return false;
  return true;
}

static void start_clients(void) {
  clients_start(&clients, &options, options.count);
  LoginFile near = login_file_read(options.logins), far = login_file_read(options.far_logins);
  if (near.count < options.count || far.count < options.count) fail("--logins, --far-logins: too few logins");
  all = allocate_zeroed((size_t)options.count, sizeof *all);
  for (int i = 0; i < options.count; i++) {
    all[i].logins[0] = &near.logins[i];
    all[i].logins[1] = &far.logins[i];
    if (memcmp(near.logins[i].key, far.logins[i].key, KEY_BYTES) != 0) fail("--far-logins: not of the same clients");
    all[i].has_arrived = allocate_zeroed(NUMBERS_MAX, 1);
    use_server(i, i % FAR_SHARE == FAR_SHARE - 1);
  }
  is_logging_in = true;
  clients_log_in(&clients, options.in_flight);
  is_logging_in = false;
  if (clients.failed > 0) fail("%d logins failed", clients.failed);
}

void run_moving_clients(const Options *given) {
  options = *given;
  run = (uint32_t)now_ns();
  clients.network.handler = (Handler){on_ready, on_frame, on_closed};
  start_clients();
  printf("{\"event\":\"held\"}\n");
  fflush(stdout);
  uint64_t start = now_ns() + NS_PER_S, end = start + (uint64_t)(options.seconds * 1e9), packets = 0, now;
  while ((now = now_ns()) < end) {
    dial_waiting(now);
    for (int sends = 0; sends < SENDS_PER_ROUND; sends++) {
      uint64_t due = start + (uint64_t)((double)packets * 1e9 / options.rate);
      if (due > now || due >= end) break;
      send_packet((int)(packets++ % (uint64_t)clients.count), due);
    }
    clients_poll(&clients, 1);
  }
  late = (uint64_t)(options.rate * options.seconds) - packets;
  arrived_ns = end;
  while ((now = now_ns()) < end + TAIL_NS && now < arrived_ns + QUIET_NS && !is_complete()) {
    dial_waiting(now);
    clients_poll(&clients, 1);
  }
  print_result();
}
