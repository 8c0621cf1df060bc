// See reconnect-storm.h. Clients reconnect without back-off, while two of the first that are back measure the service
// that they get. A dial that is refused because no server listens is repeated and is no failure. A connection that was
// accepted and ended before its login was done is a failed login.
#include "reconnect-storm.h"

#include <stdio.h>
#include <string.h>

#include "clients.h"
#include "clock.h"
#include "fail.h"
#include "memory.h"
#include "send-buffer.h"
#include "server-stat.h"
#include "traffic.h"

#define EVENTS_MAX 4096
// Few at a time: each half of a handshake may take half a millisecond of cryptography, and the probe waits for it.
#define HELLOS_PER_ROUND 4
#define ANSWERS_PER_ROUND 4
#define EVENTS_PER_PROBE 16
#define DIALS_PER_ROUND 16
// A refused dial is repeated after this time. Without it ten thousand refusals would keep the machine busy.
#define REFUSED_RETRY_NS (50 * NS_PER_MS)
// The time that Tailscale's clients allow for a login, from dial to ServerInfo.
#define LOGIN_LIMIT_NS (10 * NS_PER_S)
#define PROBE_GAP_NS NS_PER_MS
#define PROBE_BYTES 64
// The probe continues for so long after all clients are back.
#define PROBE_TAIL_NS (1 * NS_PER_S)

static Traffic traffic;
static Histogram login_times, probe_delays;
// A ring of the connections that wait for their dial, in order, and the earliest time of each one's dial.
static int *queue;
static uint64_t *not_before;
static int queue_at, queue_length;
// The times at which clients were back, in order.
static uint64_t *back_ns;
static int lost, back, refused, failed_logins, accepted_while_stopping, slow_logins;
static int failed_at[PHASE_READY];
// The first dial that the new server accepted, and the last dial that was refused.
static uint64_t first_accepted_ns, last_refused_ns;
static uint64_t first_lost_ns, probe_next_ns;
static uint64_t probe_sent, probe_received;

static void enqueue(const Connection *connection, uint64_t from_ns) {
  int index = (int)(connection - traffic.clients.connections);
  int count = traffic.clients.count;
  queue[(queue_at + queue_length++) % count] = index;
  not_before[index] = from_ns;
}

static void on_ready(Connection *connection) {
  if (traffic.is_logging_in) return clients_on_ready(&traffic.clients);
  uint64_t took = connection->ready_ns - connection->dialled_ns;
  histogram_add(&login_times, took);
  slow_logins += took > LOGIN_LIMIT_NS;
  back_ns[back++] = connection->ready_ns;
}

// Only the probe's receiver gets packets.
static void on_frame(Connection *connection, uint8_t type, const uint8_t *payload, size_t length) {
  PacketHead head;
  if (type != FRAME_RECV || connection != &traffic.clients.connections[1] || length != KEY_BYTES + PROBE_BYTES) return;
  if (!packet_read(payload + KEY_BYTES, length - KEY_BYTES, &head) || head.run != traffic.run) {
    traffic.counts.corrupted++;
    return;
  }
  probe_received++;
  histogram_add(&probe_delays, now_ns() - head.due_ns);
}

// No server listened at that time. So dials that were accepted earlier were accepted by the old server while it
// stopped, and their failures are not the new server's. Over loopback a dial is accepted or refused when it is made,
// however late its event is handled.
static void note_refused_dial(uint64_t dialled_ns) {
  if (dialled_ns <= last_refused_ns) return;
  last_refused_ns = dialled_ns;
  if (first_accepted_ns > dialled_ns) return;
  accepted_while_stopping += failed_logins;
  failed_logins = 0;
  memset(failed_at, 0, sizeof failed_at);
  first_accepted_ns = 0;
}

static void on_closed(Connection *connection, Phase reached, const char *why) {
  if (traffic.is_logging_in) return clients_on_failed(&traffic.clients, connection, reached, why);
  uint64_t now = now_ns();
  if (reached == PHASE_READY) {
    if (lost++ == 0) first_lost_ns = now;
    return enqueue(connection, now);
  }
  if (reached == PHASE_DIALLING) {
    refused++;
    note_refused_dial(connection->dialled_ns);
    return enqueue(connection, now + REFUSED_RETRY_NS);
  }
  if (connection->dialled_ns < last_refused_ns) {
    accepted_while_stopping++;
    return enqueue(connection, now);
  }
  failed_logins++;
  failed_at[reached]++;
  if (refused > 0 && failed_logins < 5)
    fprintf(stderr, "generator: login %d failed after %.1f s (phase: %s): %s\n", connection->index,
            (double)(now - connection->dialled_ns) / 1e9, phase_name(reached), why);
  enqueue(connection, now);
}

static void dial_queued(uint64_t now) {
  for (int dials = 0; dials < DIALS_PER_ROUND && queue_length > 0; dials++) {
    int index = queue[queue_at];
    if (not_before[index] > now) return;
    queue_at = (queue_at + 1) % traffic.clients.count;
    queue_length--;
    connection_dial(&traffic.clients.network, &traffic.clients.connections[index]);
  }
}

// Sends the probe's packets that are due, once both of its clients are back.
static void send_probe(uint64_t now) {
  Network *network = &traffic.clients.network;
  Connection *from = &traffic.clients.connections[0], *to = &traffic.clients.connections[1];
  if (from->phase != PHASE_READY || to->phase != PHASE_READY || lost == 0 || from->ready_ns < first_lost_ns ||
      to->ready_ns < first_lost_ns)
    return;
  connection_receive(network, to, READ_MAX);
  if (probe_next_ns == 0) probe_next_ns = now;
  while (probe_next_ns <= now && !connection_is_blocked(from)) {
    uint8_t *frame = batch_begin(network, FRAME_HEAD + PROBE_BYTES);
    PacketHead head = {.flow = 0, .run = traffic.run, .number = probe_sent++, .due_ns = probe_next_ns};
    frame_head(frame, to->login->key, PROBE_BYTES);
    packet_fill(frame + FRAME_HEAD, PROBE_BYTES, &head);
    batch_seal(network, from, FRAME_HEAD + PROBE_BYTES);
    send_buffer_write(network, from);
    probe_next_ns += PROBE_GAP_NS;
  }
}

static void handle_event(const struct epoll_event *event) {
  Connection *connection = event->data.ptr;
  Phase before = connection->phase;
  connection_event(&traffic.clients.network, connection, event->events);
  uint64_t dialled_ns = connection->dialled_ns;
  bool was_accepted = before == PHASE_DIALLING && connection->phase > PHASE_DIALLING;
  if (!was_accepted || lost == 0 || dialled_ns <= last_refused_ns) return;
  if (first_accepted_ns == 0 || dialled_ns < first_accepted_ns) first_accepted_ns = dialled_ns;
}

// Real clients are many machines that do not wait for each other; here they share a processor. So connections that have
// finished TLS come before those whose handshakes take half a millisecond each, and the server's answer to one client's hello
// does not wait for the hellos of thousands of others.
static void poll_sockets(void) {
  static struct epoll_event events[EVENTS_MAX];
  int count = epoll_wait(traffic.clients.network.epoll, events, EVENTS_MAX, queue_length > 0 ? 0 : 1);
  int hellos = 0, answers = 0;
  for (int i = 0; i < count; i++) {
    const Connection *connection = events[i].data.ptr;
    bool is_past_tls = connection->phase >= PHASE_UPGRADE;
    if (connection->phase == PHASE_DIALLING && hellos++ >= HELLOS_PER_ROUND) continue;
    if (connection->phase == PHASE_HANDSHAKE && answers++ >= ANSWERS_PER_ROUND) continue;
    handle_event(&events[i]);
    if (is_past_tls && i % EVENTS_PER_PROBE == 0) send_probe(now_ns());
  }
}

// The time from `from` until this share of the lost clients was back; -1 if it never was.
static double seconds_until(double share, uint64_t from) {
  int wanted = (int)(share * lost + 0.999999);
  return wanted < 1 || wanted > back ? -1 : (double)(back_ns[wanted - 1] - from) / 1e9;
}

static void print_result(void) {
  printf("{\"event\":\"storm\",\"clients\":%d,\"lost\":%d,\"back\":%d,\"refusedDials\":%d,\"failedLogins\":%d,"
         "\"acceptedWhileStopping\":%d,\"loginsOver10s\":%d,",
         traffic.clients.count, lost, back, refused, failed_logins, accepted_while_stopping, slow_logins);
  printf("\"failedAt\":{");
  for (int phase = PHASE_HANDSHAKE; phase < PHASE_READY; phase++)
    printf("%s\"%s\":%d", phase == PHASE_HANDSHAKE ? "" : ",", phase_name((Phase)phase), failed_at[phase]);
  printf("},");
  printf("\"downSeconds\":%.3f,\"halfBackSeconds\":%.3f,\"almostAllBackSeconds\":%.3f,\"allBackSeconds\":%.3f,",
         first_accepted_ns > 0 ? (double)(first_accepted_ns - first_lost_ns) / 1e9 : -1,
         seconds_until(0.5, first_accepted_ns), seconds_until(0.99, first_accepted_ns),
         seconds_until(1, first_accepted_ns));
  printf("\"probeSent\":%llu,\"probeReceived\":%llu,\"corrupted\":%llu,\"serverRssKb\":%llu,\"loginTimes\":",
         (unsigned long long)probe_sent, (unsigned long long)probe_received,
         (unsigned long long)traffic.counts.corrupted, (unsigned long long)server_stat(traffic.options.pid).rss_kb);
  histogram_print(&login_times, stdout);
  printf(",\"probeDelays\":");
  histogram_print(&probe_delays, stdout);
  printf("}\n");
  fprintf(stderr,
          "%d lost, %d back (50 %% %.2f s, 99 %% %.2f s, all %.2f s), %d failed logins, %d over 10 s, probe "
          "p99 %.2f ms of %llu packets\n",
          lost, back, seconds_until(0.5, first_accepted_ns), seconds_until(0.99, first_accepted_ns),
          seconds_until(1, first_accepted_ns), failed_logins, slow_logins, histogram_at(&probe_delays, 0.99) / 1e6,
          (unsigned long long)probe_received);
}

void run_reconnect_storm(const Options *options) {
  traffic.options = *options;
  traffic.clients.network.handler = (Handler){on_ready, on_frame, on_closed};
  traffic.is_logging_in = true;
  traffic.run = (uint32_t)now_ns();
  clients_start(&traffic.clients, options, options->count);
  queue = allocate_zeroed((size_t)options->count, sizeof *queue);
  not_before = allocate_zeroed((size_t)options->count, sizeof *not_before);
  // A client may lose its server more than once.
  back_ns = allocate_zeroed((size_t)options->count * 4, sizeof *back_ns);
  clients_log_in(&traffic.clients, options->in_flight);
  if (traffic.clients.failed > 0) fail("%d logins failed", traffic.clients.failed);
  traffic.is_logging_in = false;
  printf("{\"event\":\"held\"}\n");
  fflush(stdout);
  uint64_t end = now_ns() + (uint64_t)(options->seconds * 1e9);
  for (uint64_t now = now_ns(); now < end; now = now_ns()) {
    dial_queued(now);
    poll_sockets();
    send_probe(now);
    bool is_over = lost >= traffic.clients.count && back == lost;
    if (is_over && now > back_ns[back - 1] + PROBE_TAIL_NS) break;
    if (back >= 4 * options->count) break;
  }
  print_result();
}
