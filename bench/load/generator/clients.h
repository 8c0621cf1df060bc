// All client connections of a scenario, and their login: a fixed number of logins is in progress at any time until all
// clients are logged in. Every scenario begins with it.
#ifndef CLIENTS_H
#define CLIENTS_H

#include "connection.h"
#include "options.h"

typedef struct {
  Network network;
  // The servers. Receivers connect to `far` if the options name one.
  Remote near, far;
  Connection *connections;
  int count;
  // Logins in progress, done and failed.
  int in_progress, ready, failed;
  // The next connection to dial.
  int next;
} Clients;

// Sets up `count` connections with logins from the login files; dials none of them. The scenario sets the network's
// handler itself.
void clients_start(Clients *clients, const Options *options, int count);
// Dials all connections, at most `in_flight` logins at a time. Returns when each is logged in or has failed; the result
// is the time that it took, in seconds.
double clients_log_in(Clients *clients, int in_flight);
// Waits for events for at most `timeout_ms` and handles them; returns their number.
int clients_poll(Clients *clients, int timeout_ms);

// For the scenario's on_ready and on_closed while logins are in progress.
void clients_on_ready(Clients *clients);
void clients_on_failed(Clients *clients, const Connection *connection, Phase reached, const char *why);

#endif
