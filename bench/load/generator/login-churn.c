// Clients that come and go at a steady rate beside a load: each logs in, stays until its turn comes again,
// leaves and logs in anew. Who is not logged in by then waits for its next turn.
#include "clock.h"
#include "scenarios.h"
#include "start-signal.h"
#include "traffic.h"

static Crew crew;
static int logins, failures;

static void on_ready(Connection *connection) {
  (void)connection;
  logins++;
}

static void on_frame(Connection *connection, uint8_t type, const uint8_t *payload, size_t length) {
  (void)connection, (void)type, (void)payload, (void)length;
}

static void on_closed(Connection *connection, Phase reached, const char *why) {
  if (failures++ < 5)
    fprintf(stderr, "generator: client %d ended in phase %d: %s\n", connection->index, reached, why);
}

void run_churn(const Options *options) {
  if (options->rate <= 0) fail("--churn: expected --rate, logins per second");
  crew.network.handler = (Handler){on_ready, on_frame, on_closed};
  crew_start(&crew, options, options->count);
  uint64_t start = start_signal(options), turns = 0;
  uint64_t end = start + (uint64_t)((options->warm_seconds + options->seconds) * 1e9);
  for (uint64_t now = now_ns(); now < end; now = now_ns()) {
    while (now >= start + (uint64_t)((double)turns / options->rate * 1e9)) {
      Connection *connection = &crew.connections[turns++ % (uint64_t)crew.count];
      // If everybody who has not been let in by now began anew, a server that is late would let in nobody any
      // more.
      if (connection->phase != PHASE_CLOSED && connection->phase != PHASE_READY) continue;
      connection_close(connection);
      connection_dial(&crew.network, connection);
    }
    crew_turn(&crew, 1);
  }
  printf("{\"event\":\"churn\",\"logins\":%d,\"failed\":%d}\n", logins, failures);
  fprintf(stderr, "%d logins, %d failures\n", logins, failures);
}
