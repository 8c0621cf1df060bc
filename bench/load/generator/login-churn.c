// See login-churn.h. Each client in turn logs out and in again: with N clients and R logins per second a client stays
// for N / R seconds. A client whose login is not done when its turn comes waits for its next turn.
#include "login-churn.h"

#include <stdio.h>

#include "clients.h"
#include "clock.h"
#include "fail.h"
#include "start-signal.h"

static Clients clients;
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
    fprintf(stderr, "generator: client %d was closed (phase: %s): %s\n", connection->index, phase_name(reached), why);
}

void run_login_churn(const Options *options) {
  if (options->rate <= 0) fail("--churn requires --rate, in logins per second");
  clients.network.handler = (Handler){on_ready, on_frame, on_closed};
  clients_start(&clients, options, options->count);
  uint64_t start = start_signal(options), turns = 0;
  uint64_t end = start + (uint64_t)((options->warm_seconds + options->seconds) * 1e9);
  for (uint64_t now = now_ns(); now < end; now = now_ns()) {
    while (now >= start + (uint64_t)((double)turns / options->rate * 1e9)) {
      Connection *connection = &clients.connections[turns++ % (uint64_t)clients.count];
      // If logins that are not done yet started again, a server that is too slow would never complete any login.
      if (connection->phase != PHASE_CLOSED && connection->phase != PHASE_READY) continue;
      connection_close(connection);
      connection_dial(&clients.network, connection);
    }
    clients_poll(&clients, 1);
  }
  printf("{\"event\":\"churn\",\"logins\":%d,\"failed\":%d}\n", logins, failures);
  fprintf(stderr, "%d logins, %d failures\n", logins, failures);
}
