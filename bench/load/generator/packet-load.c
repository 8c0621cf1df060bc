// See packet-load.h. The load is an open loop: the time at which each packet is due is fixed beforehand. A full socket
// or a late generator does not change the time from which a packet's delay counts. Without a schedule ("--rate 0") each
// sender sends as much as its socket accepts. A round of the event loop sends a bounded number of batches, so that
// sending never starves receiving.
#include "packet-load.h"

#include "clock.h"
#include "fail.h"
#include "packet-load-report.h"
#include "send-buffer.h"
#include "server-stat.h"
#include "start-signal.h"
#include "traffic.h"

// Batches that one round creates: less than a millisecond's worth, then receivers are read again.
#define BATCHES_PER_ROUND 512
// Batches that one sender creates in a round by schedule. Then the other senders come first.
#define BATCHES_PER_SENDER 64
// Batches that one sender creates in a round without a schedule.
#define BATCHES_PER_VISIT 16
#define EVENTS_MAX 256
// A batch that is created so late, although its socket had room, is the generator's fault and is counted.
#define LATE_NS (5 * NS_PER_MS)
// The run ends when the window is over and no packet has arrived for so long.
#define SILENCE_NS (300 * NS_PER_MS)

static Traffic traffic;
// The time from one batch of the schedule to the next, over all senders; 0: no schedule.
static double gap_ns;
// With --tick, batches are due at multiples of this time after the start; else 1.
static uint64_t tick_ns = 1;
// The sender whose turn is next is this number modulo the number of senders. With a schedule it is also the number of
// the next batch.
static uint64_t next_position;
// Set if a sender has batches that are due but not created.
static bool has_backlog;

static uint64_t last_tick(uint64_t now) { return now - (now - traffic.start_ns) % tick_ns; }

static uint64_t due_at(double position) {
  return last_tick(traffic.start_ns + (uint64_t)(position * gap_ns) + tick_ns - 1);
}

static uint64_t next_due_ns(const Sender *sender) {
  return due_at((double)sender->batches * traffic.sender_count + sender->index);
}

static void count_lateness(Sender *sender, uint64_t due, uint64_t now) {
  if (sender->was_blocked)
    traffic.counts.waited++;
  else if (now > due + LATE_NS)
    traffic.counts.late++;
}

// Creates and sends the sender's batches that are due; returns their number.
static int send_due(Sender *sender, uint64_t now) {
  Connection *connection = sender->connection;
  if (connection->phase != PHASE_READY) return 0;
  if (connection_is_blocked(connection)) {
    sender->was_blocked = true;
    return 0;
  }
  int created = 0;
  uint64_t until = now < traffic.window_end ? now : traffic.window_end - 1;
  for (uint64_t due = next_due_ns(sender); due <= until; due = next_due_ns(sender)) {
    if (created == BATCHES_PER_SENDER || !traffic_has_room(&traffic)) {
      has_backlog = true;
      break;
    }
    count_lateness(sender, due, now);
    traffic_make_batch(&traffic, sender, due);
    created++;
  }
  send_buffer_write(&traffic.clients.network, connection);
  // A sender that still has a backlog keeps counting as blocked.
  if (created < BATCHES_PER_SENDER) sender->was_blocked = false;
  return created;
}

static int send_scheduled(uint64_t now) {
  int created = 0;
  if (now < traffic.start_ns) return 0;
  uint64_t due = (uint64_t)((double)(last_tick(now) - traffic.start_ns) / gap_ns) + 1;
  uint64_t senders = (uint64_t)traffic.sender_count;
  if (has_backlog && due < next_position + senders) due = next_position + senders;
  has_backlog = false;
  // A visit of a sender creates all that is due there, so one visit of each sender is enough and whole turns of all
  // senders can be skipped.
  while (due > next_position + 2 * senders)
    next_position += senders;
  uint64_t visits = due > next_position ? due - next_position : 0;
  if (visits > senders) visits = senders;
  for (uint64_t i = 0; i < visits; i++) {
    if (created >= BATCHES_PER_ROUND) {
      has_backlog = true;
      break;
    }
    created += send_due(&traffic.senders[next_position++ % senders], now);
  }
  return created;
}

// Writes batch by batch by default, as a client does that sends single packets: a write of many batches is cheaper, to
// create and to read, than those of any real load.
static int send_unscheduled(Sender *sender, uint64_t now) {
  int created = 0;
  while (created < BATCHES_PER_VISIT && !connection_is_blocked(sender->connection)) {
    for (int i = 0; i < traffic.options.batches_per_write && traffic_has_room(&traffic); i++, created++)
      traffic_make_batch(&traffic, sender, now);
    send_buffer_write(&traffic.clients.network, sender->connection);
  }
  return created;
}

static int send_all(uint64_t now) {
  int created = 0;
  for (int visits = 0; visits < traffic.sender_count && created < BATCHES_PER_ROUND; visits++) {
    Sender *sender = &traffic.senders[next_position++ % (uint64_t)traffic.sender_count];
    if (sender->connection->phase != PHASE_READY || connection_is_blocked(sender->connection)) continue;
    created += send_unscheduled(sender, now);
  }
  return created;
}

static void on_ready(Connection *connection) {
  (void)connection;
  clients_on_ready(&traffic.clients);
}

static void on_frame(Connection *connection, uint8_t type, const uint8_t *payload, size_t length) {
  traffic_on_frame(&traffic, connection, type, payload, length);
}

static void on_closed(Connection *connection, Phase reached, const char *why) {
  if (traffic.is_logging_in) return clients_on_failed(&traffic.clients, connection, reached, why);
  if (traffic.closed_count++ == 0) traffic.first_closed_ns = now_ns();
  if (traffic.options.is_strict) fail("connection %d: %s", connection->index, why);
}

// Reads as many bytes at the slow receiver as its rate allows.
static int read_slow_receiver(uint64_t now) {
  static double allowance;
  static uint64_t last;
  Connection *connection = &traffic.clients.connections[0];
  if (!connection->is_read_by_hand || connection->phase != PHASE_READY) return 0;
  if (last != 0) allowance += (double)(now - last) / 1e9 * traffic.options.slow_rate;
  last = now;
  if ((double)(now - traffic.start_ns) / 1e9 >= traffic.options.slow_until) allowance = 0;
  // Reads in pieces, as a program with a small buffer does.
  if (allowance < 16384) return 0;
  size_t got =
      connection_receive(&traffic.clients.network, connection, allowance < READ_MAX ? (size_t)allowance : READ_MAX);
  allowance = got == 0 ? 16384 : allowance - (double)got;
  return got > 0;
}

// Handles events; returns their number. With --realtime it sleeps until the next event or the next due batch. Without,
// it does not sleep as long as there is a schedule.
static int poll_sockets(uint64_t now, bool is_over, bool was_idle) {
  struct epoll_event events[EVENTS_MAX];
  struct timespec timeout = {0};
  if (is_over || (gap_ns == 0 && was_idle)) timeout.tv_nsec = NS_PER_MS;
  if (traffic.options.is_realtime && gap_ns > 0 && !is_over) {
    uint64_t next = due_at((double)next_position);
    if (next > now)
      timeout =
          (struct timespec){.tv_sec = (time_t)((next - now) / NS_PER_S), .tv_nsec = (long)((next - now) % NS_PER_S)};
  }
  int count = epoll_pwait2(traffic.clients.network.epoll, events, EVENTS_MAX, &timeout, NULL);
  for (int i = 0; i < count; i++) {
    Connection *connection = events[i].data.ptr;
    connection_event(&traffic.clients.network, connection, events[i].events);
    bool may_send = (events[i].events & EPOLLOUT) != 0 && connection->user_data != NULL && gap_ns > 0 && !is_over;
    if (may_send) send_due(connection->user_data, now);
  }
  return count;
}

static ServerStat servers_stat(void) {
  ServerStat near = server_stat(traffic.options.pid), far = server_stat(traffic.options.far_pid);
  return (ServerStat){near.cpu_s + far.cpu_s, near.rss_kb + far.rss_kb, near.anonymous_kb + far.anonymous_kb};
}

static void run_loop(PacketLoadUsage *usage) {
  bool is_measuring = false, is_over = false, was_idle = false;
  uint64_t last_received = 0, last_received_at = 0,
           next_interval = traffic.window_start + (uint64_t)(traffic.options.interval_seconds * 1e9);
  // Counts from the round that notices the end of the window: a round of an overloaded generator may be long.
  uint64_t drain_end = UINT64_MAX;
  for (uint64_t now = now_ns(); now < drain_end;) {
    if (!is_measuring && now >= traffic.window_start) {
      is_measuring = true;
      usage->before = servers_stat();
    }
    if (!is_over && now >= traffic.window_end) {
      is_over = true;
      // Batches that were due since the last round, which may have been a moment ago on a busy machine.
      if (gap_ns > 0) send_scheduled(now);
      last_received_at = now;
      drain_end = now + (uint64_t)(traffic.options.drain_seconds * 1e9);
      usage->after = servers_stat();
    }
    if (traffic.options.interval_seconds > 0 && now >= next_interval) {
      print_interval(&traffic, now);
      next_interval += (uint64_t)(traffic.options.interval_seconds * 1e9);
    }
    int done = poll_sockets(now, is_over, was_idle) + read_slow_receiver(now);
    uint64_t polled = now_ns();
    if (!is_over) done += gap_ns > 0 ? send_scheduled(polled) : send_all(polled);
    was_idle = done == 0;
    uint64_t after = now_ns();
    if (was_idle && now >= traffic.window_start && after < traffic.window_end) usage->idle_ns += after - now;
    now = after;
    if (!is_over) continue;
    if (traffic.counts.received != last_received) last_received_at = now;
    last_received = traffic.counts.received;
    if (last_received == traffic.counts.created || now - last_received_at > SILENCE_NS) break;
  }
}

void run_packet_load(const Options *options) {
  PacketLoadUsage usage = {0};
  traffic.options = *options;
  traffic.clients.network.handler = (Handler){on_ready, on_frame, on_closed};
  traffic.is_logging_in = true;
  clients_start(&traffic.clients, options, traffic_connections(options));
  usage.login_seconds = clients_log_in(&traffic.clients, options->in_flight);
  if (traffic.clients.failed > 0) fail("%d logins failed", traffic.clients.failed);
  traffic.is_logging_in = false;
  traffic_arrange(&traffic);
  if (options->rate > 0) gap_ns = 1e9 / options->rate * options->frames_per_batch;
  if (options->tick_us > 0) tick_ns = (uint64_t)(options->tick_us * 1e3);
  if (options->slow_rate >= 0) {
    traffic.clients.connections[0].is_read_by_hand = true;
    network_watch(&traffic.clients.network, &traffic.clients.connections[0], EPOLLRDHUP);
  }
  traffic.start_ns = start_signal(options);
  traffic.window_start = traffic.start_ns + (uint64_t)(options->warm_seconds * 1e9);
  traffic.window_end = traffic.window_start + (uint64_t)(options->seconds * 1e9);
  run_loop(&usage);
  print_result(&traffic, &usage, gap_ns);
}
