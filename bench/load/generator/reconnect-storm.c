// Many clients lose their server at the same moment and come back at once, without back-off, while two of the
// first who are back measure what service they get. A dial that is refused while nobody listens is tried
// again and is no failure; a connection that was accepted and then ended before its login was done is one.
#include <string.h>

#include "clock.h"
#include "memory.h"
#include "scenarios.h"
#include "server-stat.h"
#include "traffic.h"

#define EVENTS_MAX 4096
// Few at a time, since each may be half a millisecond of cryptography, and the probe waits for it.
#define HANDSHAKES_PER_TURN 4
#define EVENTS_PER_PROBE 16
#define DIALS_PER_TURN 16
// Who is refused asks again so soon; not at once, or ten thousand refusals would be all that the machine
// does.
#define REFUSED_RETRY_NS (50 * NS_PER_MS)
// What Tailscale's clients allow a login from dial to ServerInfo.
#define LOGIN_LIMIT_NS (10 * NS_PER_S)
#define PROBE_GAP_NS NS_PER_MS
#define PROBE_BYTES 64
// The probe goes on for a little after everybody is back.
#define AFTERMATH_NS (1 * NS_PER_S)

static Traffic traffic;
static Histogram login_times, probe_delays;
// Connections that wait to be dialled, in order, each with the time from which on it may be.
static int *queue;
static uint64_t *not_before;
static int queue_at, queue_length;
static uint64_t *back_ns;
static int lost, back, refused, failed_logins, accepted_by_dying, slow_logins;
static int failed_at[PHASE_READY];
// When the first one dialled who was accepted by the new server, and the last one who was refused.
static uint64_t first_accepted_ns, last_refused_ns;
static uint64_t first_lost_ns, probe_next_ns;
static uint64_t probe_sent, probe_came;

static void enqueue(const Connection *connection, uint64_t from_ns) {
  int index = (int)(connection - traffic.crew.connections);
  int count = traffic.crew.count;
  queue[(queue_at + queue_length++) % count] = index;
  not_before[index] = from_ns;
}

static void on_ready(Connection *connection) {
  if (traffic.is_coming_in) return crew_on_ready(&traffic.crew);
  uint64_t took = connection->ready_ns - connection->dialled_ns;
  histogram_add(&login_times, took);
  slow_logins += took > LOGIN_LIMIT_NS;
  back_ns[back++] = connection->ready_ns;
}

static void on_frame(Connection *connection, uint8_t type, const uint8_t *payload, size_t length) {
  PacketHead head;
  if (type != FRAME_RECV || connection != &traffic.crew.connections[1] || length != KEY_BYTES + PROBE_BYTES)
    return;
  if (!packet_read(payload + KEY_BYTES, length - KEY_BYTES, &head) || head.run != traffic.run) {
    traffic.ledger.corrupted++;
    return;
  }
  probe_came++;
  histogram_add(&probe_delays, now_ns() - head.intended_ns);
}

// Whoever was accepted before was so by a server that was about to end. Over loopback a dial is decided when
// it is made, however late it is looked at.
static void nobody_listened_at(uint64_t dialled_ns) {
  if (dialled_ns <= last_refused_ns) return;
  last_refused_ns = dialled_ns;
  if (first_accepted_ns > dialled_ns) return;
  accepted_by_dying += failed_logins;
  failed_logins = 0;
  memset(failed_at, 0, sizeof failed_at);
  first_accepted_ns = 0;
}

static void on_closed(Connection *connection, Phase reached, const char *why) {
  if (traffic.is_coming_in) return crew_on_failed(&traffic.crew, connection, reached, why);
  uint64_t now = now_ns();
  if (reached == PHASE_READY) {
    if (lost++ == 0) first_lost_ns = now;
    return enqueue(connection, now);
  }
  if (reached == PHASE_DIALLING) {
    refused++;
    nobody_listened_at(connection->dialled_ns);
    return enqueue(connection, now + REFUSED_RETRY_NS);
  }
  if (connection->dialled_ns < last_refused_ns) {
    accepted_by_dying++;
    return enqueue(connection, now);
  }
  failed_logins++;
  failed_at[reached]++;
  if (refused > 0 && failed_logins < 5)
    fprintf(stderr, "generator: login %d failed %s after %.1f s: %s\n", connection->index,
            phase_name(reached), (double)(now - connection->dialled_ns) / 1e9, why);
  enqueue(connection, now);
}

static void dial_waiting(uint64_t now) {
  for (int dials = 0; dials < DIALS_PER_TURN && queue_length > 0; dials++) {
    int index = queue[queue_at];
    if (not_before[index] > now) return;
    queue_at = (queue_at + 1) % traffic.crew.count;
    queue_length--;
    connection_dial(&traffic.crew.network, &traffic.crew.connections[index]);
  }
}

static void probe(uint64_t now) {
  Connection *from = &traffic.crew.connections[0], *to = &traffic.crew.connections[1];
  // Both early clients must be back, and the rest still on their way.
  if (from->phase != PHASE_READY || to->phase != PHASE_READY || lost == 0 || from->ready_ns < first_lost_ns ||
      to->ready_ns < first_lost_ns)
    return;
  connection_receive(&traffic.crew.network, to, READ_MAX);
  if (probe_next_ns == 0) probe_next_ns = now;
  while (probe_next_ns <= now && !connection_is_blocked(from)) {
    uint8_t *frame = shot_open(&traffic.crew.network, FRAME_HEAD + PROBE_BYTES);
    PacketHead head = {.flow = 0, .run = traffic.run, .number = probe_sent++, .intended_ns = probe_next_ns};
    frame_head(frame, to->login->key, PROBE_BYTES);
    packet_fill(frame + FRAME_HEAD, PROBE_BYTES, &head);
    shot_close(&traffic.crew.network, from, FRAME_HEAD + PROBE_BYTES);
    shots_send(&traffic.crew.network, from);
    probe_next_ns += PROBE_GAP_NS;
  }
}

static void handle(const struct epoll_event *event) {
  Connection *connection = event->data.ptr;
  Phase before = connection->phase;
  connection_event(&traffic.crew.network, connection, event->events);
  uint64_t dialled_ns = connection->dialled_ns;
  bool was_accepted = before == PHASE_DIALLING && connection->phase > PHASE_DIALLING;
  if (!was_accepted || lost == 0 || dialled_ns <= last_refused_ns) return;
  if (first_accepted_ns == 0 || dialled_ns < first_accepted_ns) first_accepted_ns = dialled_ns;
}

// Clients are many machines, each of which goes on as soon as it can; here they share a processor. So whoever
// has TLS behind it comes before those whose handshakes cost half a millisecond each.
static void look(void) {
  static struct epoll_event events[EVENTS_MAX];
  int count = epoll_wait(traffic.crew.network.epoll, events, EVENTS_MAX, queue_length > 0 ? 0 : 1),
      handshakes = 0;
  for (int i = 0; i < count; i++) {
    const Connection *connection = events[i].data.ptr;
    bool is_late = connection->phase >= PHASE_HEAD;
    if (!is_late && handshakes++ >= HANDSHAKES_PER_TURN) continue;
    handle(&events[i]);
    if (is_late && i % EVENTS_PER_PROBE == 0) probe(now_ns());
  }
}

static double seconds_until(double share, uint64_t from) {
  int wanted = (int)(share * lost + 0.999999);
  return wanted < 1 || wanted > back ? -1 : (double)(back_ns[wanted - 1] - from) / 1e9;
}

static void print_result(void) {
  printf("{\"event\":\"storm\",\"clients\":%d,\"lost\":%d,\"back\":%d,\"refusedDials\":%d,\"failedLogins\":%"
         "d,\"acceptedByDying\":%d,\"loginsOver10s\":%d,",
         traffic.crew.count, lost, back, refused, failed_logins, accepted_by_dying, slow_logins);
  printf("\"failedAt\":{");
  for (int phase = PHASE_HANDSHAKE; phase < PHASE_READY; phase++)
    printf("%s\"%s\":%d", phase == PHASE_HANDSHAKE ? "" : ",", phase_name((Phase)phase), failed_at[phase]);
  printf("},");
  printf(
      "\"downSeconds\":%.3f,\"halfBackSeconds\":%.3f,\"almostAllBackSeconds\":%.3f,\"allBackSeconds\":%.3f,",
      first_accepted_ns > 0 ? (double)(first_accepted_ns - first_lost_ns) / 1e9 : -1,
      seconds_until(0.5, first_accepted_ns), seconds_until(0.99, first_accepted_ns),
      seconds_until(1, first_accepted_ns));
  printf("\"probeSent\":%llu,\"probeCame\":%llu,\"corrupted\":%llu,\"serverRssKb\":%llu,\"loginTimes\":",
         (unsigned long long)probe_sent, (unsigned long long)probe_came,
         (unsigned long long)traffic.ledger.corrupted,
         (unsigned long long)server_stat(traffic.options.pid).rss_kb);
  histogram_print(&login_times, stdout);
  printf(",\"probeDelays\":");
  histogram_print(&probe_delays, stdout);
  printf("}\n");
  fprintf(stderr,
          "%d lost, %d back (50 %% %.2f s, 99 %% %.2f s, all %.2f s), %d failed logins, %d over 10 s, probe "
          "p99 %.2f ms of %llu\n",
          lost, back, seconds_until(0.5, first_accepted_ns), seconds_until(0.99, first_accepted_ns),
          seconds_until(1, first_accepted_ns), failed_logins, slow_logins,
          histogram_at(&probe_delays, 0.99) / 1e6, (unsigned long long)probe_came);
}

void run_storm(const Options *options) {
  traffic.options = *options;
  traffic.crew.network.handler = (Handler){on_ready, on_frame, on_closed};
  traffic.is_coming_in = true;
  traffic.run = (uint32_t)now_ns();
  crew_start(&traffic.crew, options, options->count);
  queue = zeroed((size_t)options->count, sizeof *queue);
  not_before = zeroed((size_t)options->count, sizeof *not_before);
  // Whoever is lost twice comes back twice.
  back_ns = zeroed((size_t)options->count * 4, sizeof *back_ns);
  crew_bring_in(&traffic.crew, options->in_flight);
  if (traffic.crew.failed > 0) fail("%d logins failed", traffic.crew.failed);
  traffic.is_coming_in = false;
  printf("{\"event\":\"held\"}\n");
  fflush(stdout);
  uint64_t end = now_ns() + (uint64_t)(options->seconds * 1e9);
  for (uint64_t now = now_ns(); now < end; now = now_ns()) {
    dial_waiting(now);
    look();
    probe(now);
    bool is_over = lost >= traffic.crew.count && back == lost;
    if (is_over && now > back_ns[back - 1] + AFTERMATH_NS) break;
    if (back >= 4 * options->count) break;
  }
  print_result();
}
