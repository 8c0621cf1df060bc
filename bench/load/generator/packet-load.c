// The load itself: an open loop. When each packet is meant to leave is settled beforehand; a socket that is
// full or a generator that is late changes nothing about the time that a packet's delay is counted from. Or
// all that can be sent ("saturate"), bounded per turn, so that the generator never stops reading for the sake
// of sending.
#include <string.h>

#include "clock.h"
#include "scenarios.h"
#include "server-stat.h"
#include "start-signal.h"
#include "traffic.h"

// One turn of the loop makes at most so many shots: less than a millisecond, then receivers are served again.
#define SHOTS_PER_TURN 512
// What one sender may make in one turn: beyond the first write's worth, others come first.
#define SHOTS_PER_SENDER 64
// In one visit when everything is offered that can be sent.
#define SHOTS_PER_VISIT 16
#define EVENTS_MAX 256
// A shot made so late, with room in its socket, is the generator's fault and is counted.
#define LATE_NS (5 * NS_PER_MS)
// With everything sent and nothing coming any more, the run is over.
#define SILENCE_NS (300 * NS_PER_MS)

static Traffic traffic;
static double gap_ns;
static uint64_t ring_at;
static bool some_are_behind;

static uint64_t intended(const Sender *sender) {
  double position = (double)sender->shots * traffic.sender_count + sender->index;
  return traffic.start_ns + (uint64_t)(position * gap_ns);
}

static void note_lateness(Sender *sender, uint64_t due, uint64_t now) {
  if (sender->was_blocked)
    traffic.ledger.waited++;
  else if (now > due + LATE_NS)
    traffic.ledger.late++;
}

// Makes and sends what is due of one sender; answers the number of shots.
static int send_due(Sender *sender, uint64_t now) {
  Connection *connection = sender->connection;
  if (connection->phase != PHASE_READY) return 0;
  if (connection_is_blocked(connection)) {
    sender->was_blocked = true;
    return 0;
  }
  int made = 0;
  uint64_t until = now < traffic.window_end ? now : traffic.window_end - 1;
  for (uint64_t due = intended(sender); due <= until; due = intended(sender)) {
    if (made == SHOTS_PER_SENDER || !traffic_has_room(&traffic)) {
      some_are_behind = true;
      break;
    }
    note_lateness(sender, due, now);
    traffic_make_shot(&traffic, sender, due);
    made++;
  }
  shots_send(&traffic.crew.network, connection);
  // Whoever still is behind goes on being one that waited.
  if (made < SHOTS_PER_SENDER) sender->was_blocked = false;
  return made;
}

static int send_scheduled(uint64_t now) {
  int made = 0;
  if (now < traffic.start_ns) return 0;
  uint64_t due = (uint64_t)((double)(now - traffic.start_ns) / gap_ns) + 1;
  uint64_t senders = (uint64_t)traffic.sender_count;
  if (some_are_behind && due < ring_at + senders) due = ring_at + senders;
  some_are_behind = false;
  // A sender makes all that is due when its turn comes, so one round is enough, and whole rounds can be left
  // out.
  while (due > ring_at + 2 * senders)
    ring_at += senders;
  uint64_t visits = due > ring_at ? due - ring_at : 0;
  if (visits > senders) visits = senders;
  for (uint64_t i = 0; i < visits; i++) {
    if (made >= SHOTS_PER_TURN) {
      some_are_behind = true;
      break;
    }
    made += send_due(&traffic.senders[ring_at++ % senders], now);
  }
  return made;
}

// Writes shot by shot, as a client does that has something to say: many shots to a write are cheaper to make,
// and to read, than any real load is.
static int visit(Sender *sender, uint64_t now) {
  int made = 0;
  while (made < SHOTS_PER_VISIT && !connection_is_blocked(sender->connection)) {
    for (int i = 0; i < traffic.options.per_write && traffic_has_room(&traffic); i++, made++)
      traffic_make_shot(&traffic, sender, now);
    shots_send(&traffic.crew.network, sender->connection);
  }
  return made;
}

static int send_all(uint64_t now) {
  int made = 0;
  for (int visits = 0; visits < traffic.sender_count && made < SHOTS_PER_TURN; visits++) {
    Sender *sender = &traffic.senders[ring_at++ % (uint64_t)traffic.sender_count];
    if (sender->connection->phase != PHASE_READY || connection_is_blocked(sender->connection)) continue;
    made += visit(sender, now);
  }
  return made;
}

static void on_ready(Connection *connection) {
  (void)connection;
  crew_on_ready(&traffic.crew);
}

static void on_frame(Connection *connection, uint8_t type, const uint8_t *payload, size_t length) {
  traffic_take(&traffic, connection, type, payload, length);
}

static void on_closed(Connection *connection, Phase reached, const char *why) {
  if (traffic.is_coming_in) return crew_on_failed(&traffic.crew, connection, reached, why);
  if (traffic.closed_count++ == 0) traffic.first_closed_ns = now_ns();
  if (traffic.options.is_strict) fail("connection %d: %s", connection->index, why);
}

// The slow receiver takes what its rate allows, by hand.
static int read_slowly(uint64_t now) {
  static double allowance;
  static uint64_t last;
  Connection *connection = &traffic.crew.connections[0];
  if (!connection->is_slow || connection->phase != PHASE_READY) return 0;
  if (last != 0) allowance += (double)(now - last) / 1e9 * traffic.options.slow_rate;
  last = now;
  if ((double)(now - traffic.start_ns) / 1e9 >= traffic.options.slow_until) allowance = 0;
  // In pieces, as a program reads that has a small buffer.
  if (allowance < 16384) return 0;
  size_t got = connection_receive(&traffic.crew.network, connection,
                                  allowance < READ_MAX ? (size_t)allowance : READ_MAX);
  allowance = got == 0 ? 16384 : allowance - (double)got;
  return got > 0;
}

// Sleeps until something comes or the next shot is due. A load's loop does not sleep while it has a schedule.
static int look(uint64_t now, bool is_over, bool was_idle) {
  struct epoll_event events[EVENTS_MAX];
  struct timespec timeout = {0};
  if (is_over || (gap_ns == 0 && was_idle)) timeout.tv_nsec = NS_PER_MS;
  if (traffic.options.is_realtime && gap_ns > 0 && !is_over) {
    uint64_t next = traffic.start_ns + (uint64_t)((double)ring_at * gap_ns);
    if (next > now)
      timeout = (struct timespec){.tv_sec = (time_t)((next - now) / NS_PER_S),
                                  .tv_nsec = (long)((next - now) % NS_PER_S)};
  }
  int count = epoll_pwait2(traffic.crew.network.epoll, events, EVENTS_MAX, &timeout, NULL);
  for (int i = 0; i < count; i++) {
    Connection *connection = events[i].data.ptr;
    connection_event(&traffic.crew.network, connection, events[i].events);
    bool may_send = (events[i].events & EPOLLOUT) != 0 && connection->owner != NULL && gap_ns > 0 && !is_over;
    if (may_send) send_due(connection->owner, now);
  }
  return count;
}

static void print_interval(uint64_t now) {
  printf("{\"event\":\"interval\",\"atSeconds\":%.1f,\"delays\":",
         (double)(now - traffic.window_start) / 1e9);
  histogram_print(&traffic.interval, stdout);
  printf("}\n");
  fflush(stdout);
  histogram_clear(&traffic.interval);
}

typedef struct {
  ServerStat before, after;
  uint64_t idle_ns;
} Measured;

// Of the server, and of the one where the receivers are.
static ServerStat servers_stat(void) {
  ServerStat near = server_stat(traffic.options.pid), far = server_stat(traffic.options.far_pid);
  return (ServerStat){near.cpu_s + far.cpu_s, near.rss_kb + far.rss_kb, near.anonymous_kb + far.anonymous_kb};
}

static void run_loop(Measured *measured) {
  bool is_measuring = false, is_over = false, was_idle = false;
  uint64_t last_came = 0, last_came_at = 0,
           next_interval = traffic.window_start + (uint64_t)(traffic.options.interval_seconds * 1e9);
  // Counted from when the window's end is noticed: a turn of an overloaded generator may be a long one.
  uint64_t drain_end = UINT64_MAX;
  for (uint64_t now = now_ns(); now < drain_end;) {
    if (!is_measuring && now >= traffic.window_start) {
      is_measuring = true;
      measured->before = servers_stat();
    }
    if (!is_over && now >= traffic.window_end) {
      is_over = true;
      // What was due since the last turn, which may have been a moment ago on a busy machine.
      if (gap_ns > 0) send_scheduled(now);
      last_came_at = now;
      drain_end = now + (uint64_t)(traffic.options.drain_seconds * 1e9);
      measured->after = servers_stat();
    }
    if (traffic.options.interval_seconds > 0 && now >= next_interval) {
      print_interval(now);
      next_interval += (uint64_t)(traffic.options.interval_seconds * 1e9);
    }
    int done = look(now, is_over, was_idle) + read_slowly(now);
    uint64_t looked = now_ns();
    if (!is_over) done += gap_ns > 0 ? send_scheduled(looked) : send_all(looked);
    was_idle = done == 0;
    uint64_t after = now_ns();
    if (was_idle && now >= traffic.window_start && after < traffic.window_end)
      measured->idle_ns += after - now;
    now = after;
    if (!is_over) continue;
    if (traffic.ledger.came != last_came) last_came_at = now;
    last_came = traffic.ledger.came;
    if (last_came == traffic.ledger.made || now - last_came_at > SILENCE_NS) break;
  }
}

// Frames of the window that never reached the kernel. The last shots of a sender are the ones that wait.
static uint64_t unsent_frames(void) {
  uint64_t unsent = 0;
  for (int i = 0; i < traffic.sender_count; i++)
    unsent += connection_unsent_shots(traffic.senders[i].connection);
  unsent *= (uint64_t)traffic.options.batch;
  return unsent < traffic.ledger.made ? unsent : traffic.ledger.made;
}

// Frames whose time was in the window, whether or not they could be sent.
static uint64_t due_frames(void) {
  if (gap_ns == 0) return traffic.ledger.made;
  double first = (double)(traffic.window_start - traffic.start_ns) / gap_ns,
         last = (double)(traffic.window_end - traffic.start_ns) / gap_ns;
  return (uint64_t)((last - first) + 0.5) * (uint64_t)traffic.options.batch;
}

static void print_result(const Measured *measured, double login_seconds) {
  const Ledger *ledger = &traffic.ledger;
  uint64_t duplicated = 0, reordered = 0, due = due_frames(), sent = ledger->made - unsent_frames();
  for (int i = 0; i < traffic.flow_count; i++) {
    duplicated += traffic.flows[i].received.duplicated;
    reordered += traffic.flows[i].received.reordered;
  }
  double seconds = traffic.options.seconds, cpu = measured->after.cpu_s - measured->before.cpu_s;
  double busy = 1 - (double)measured->idle_ns / (seconds * 1e9);
  printf("{\"event\":\"flow\",\"connections\":%d,\"failedLogins\":%d,\"loginSeconds\":%.3f,\"seconds\":%.3f,",
         traffic.crew.count, traffic.crew.failed, login_seconds, seconds);
  printf("\"due\":%llu,\"sent\":%llu,\"received\":%llu,\"arrived\":%llu,\"arrivedBytes\":%llu,",
         (unsigned long long)due, (unsigned long long)sent, (unsigned long long)ledger->came,
         (unsigned long long)ledger->arrived, (unsigned long long)ledger->arrived_bytes);
  printf("\"corrupted\":%llu,\"misdelivered\":%llu,\"duplicated\":%llu,\"reordered\":%llu,",
         (unsigned long long)ledger->corrupted, (unsigned long long)ledger->misdelivered,
         (unsigned long long)duplicated, (unsigned long long)reordered);
  printf("\"waited\":%llu,\"late\":%llu,\"stale\":%llu,\"peerGone\":%llu,\"otherFrames\":%llu,",
         (unsigned long long)ledger->waited, (unsigned long long)ledger->late,
         (unsigned long long)ledger->stale, (unsigned long long)ledger->peer_gone,
         (unsigned long long)ledger->other_frames);
  printf("\"closed\":%d,\"firstClosedSeconds\":%.3f,\"serverCpuSeconds\":%.3f,\"serverRssKb\":%llu,\"busy\":%"
         ".4f,\"delays\":",
         traffic.closed_count,
         traffic.closed_count > 0 ? (double)(traffic.first_closed_ns - traffic.start_ns) / 1e9 : -1, cpu,
         (unsigned long long)measured->after.rss_kb, busy);
  histogram_print(&ledger->delays, stdout);
  printf("}\n");
  fprintf(stderr,
          "offered %.0f/s sent %.0f/s arrived %.0f/s (%.3f Gbit/s), lost of due %.3f %% (unsent %.3f %%), "
          "delay ms p50 %.3f p99 %.3f p99.9 %.3f, "
          "server CPU %.2f us/frame, generator busy %.0f %%, wrong: %llu corrupted %llu misdelivered %llu "
          "duplicated %llu reordered, closed %d\n",
          (double)due / seconds, (double)sent / seconds, (double)ledger->arrived / seconds,
          (double)ledger->arrived_bytes * 8 / seconds / 1e9,
          due == 0 ? 0 : 100 * (1 - (double)ledger->came / (double)due),
          due == 0 ? 0 : 100 * (1 - (double)sent / (double)due), histogram_at(&ledger->delays, 0.5) / 1e6,
          histogram_at(&ledger->delays, 0.99) / 1e6, histogram_at(&ledger->delays, 0.999) / 1e6,
          ledger->arrived == 0 ? 0 : cpu * 1e6 / (double)ledger->arrived, busy * 100,
          (unsigned long long)ledger->corrupted, (unsigned long long)ledger->misdelivered,
          (unsigned long long)duplicated, (unsigned long long)reordered, traffic.closed_count);
}

void run_flow(const Options *options) {
  Measured measured = {0};
  traffic.options = *options;
  traffic.crew.network.handler = (Handler){on_ready, on_frame, on_closed};
  traffic.is_coming_in = true;
  crew_start(&traffic.crew, options, traffic_connections(options));
  double login_seconds = crew_bring_in(&traffic.crew, options->in_flight);
  if (traffic.crew.failed > 0) fail("%d logins failed", traffic.crew.failed);
  traffic.is_coming_in = false;
  traffic_arrange(&traffic);
  if (options->rate > 0) gap_ns = 1e9 / options->rate * options->batch;
  if (options->slow_rate >= 0) {
    traffic.crew.connections[0].is_slow = true;
    connection_watch(&traffic.crew.network, &traffic.crew.connections[0], EPOLLRDHUP);
  }
  traffic.start_ns = start_signal(options);
  traffic.window_start = traffic.start_ns + (uint64_t)(options->warm_seconds * 1e9);
  traffic.window_end = traffic.window_start + (uint64_t)(options->seconds * 1e9);
  run_loop(&measured);
  print_result(&measured, login_seconds);
}
