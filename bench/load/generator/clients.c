// See clients.h.
#include "clients.h"

#include <stdio.h>
#include <string.h>

#include "address.h"
#include "clock.h"
#include "fail.h"
#include "login-file.h"
#include "memory.h"

#define EVENTS_MAX 256
// Further failures are counted, but not logged.
#define FAILURES_LOGGED_MAX 5

// Gives connections [from, until) their server and their logins.
static void assign(Clients *clients, const Remote *remote, const LoginFile *file, int login_from, int from, int until) {
  if (file->count < login_from + until)
    fail("--logins: the file has %d logins, %d are needed", file->count, login_from + until);
  for (int i = from; i < until; i++) {
    clients->connections[i].remote = remote;
    clients->connections[i].index = login_from + i;
    clients->connections[i].login = &file->logins[login_from + i];
  }
}

static LoginFile start_remote(Remote *remote, const char *flag, const char *address, const char *logins) {
  LoginFile file = login_file_read(logins);
  remote->address = address_parse(flag, address);
  memcpy(remote->key, file.server_key, KEY_BYTES);
  return file;
}

void clients_start(Clients *clients, const Options *options, int count) {
  network_start(&clients->network, !options->is_plain);
  clients->connections = allocate_zeroed((size_t)count, sizeof(Connection));
  clients->count = count;
  LoginFile file = start_remote(&clients->near, "--addr", options->address, options->logins);
  assign(clients, &clients->near, &file, options->login_from, 0, count);
  if (options->far_address == NULL) return;
  // Receivers have the lowest indexes: see traffic.c.
  int receivers = options->topology == TOPOLOGY_PAIRS ? options->count : 1;
  LoginFile far_file = start_remote(&clients->far, "--far", options->far_address, options->far_logins);
  assign(clients, &clients->far, &far_file, options->login_from, 0, receivers);
}

// Dials until `in_flight` logins are in progress or no connection is left.
static void dial_next(Clients *clients, int in_flight) {
  while (clients->in_progress < in_flight && clients->next < clients->count) {
    clients->in_progress++;
    connection_dial(&clients->network, &clients->connections[clients->next++]);
  }
}

double clients_log_in(Clients *clients, int in_flight) {
  uint64_t start = now_ns();
  clients->next = clients->ready = clients->failed = clients->in_progress = 0;
  while (clients->ready + clients->failed < clients->count) {
    dial_next(clients, in_flight);
    clients_poll(clients, 100);
  }
  return (double)(now_ns() - start) / 1e9;
}

int clients_poll(Clients *clients, int timeout_ms) {
  struct epoll_event events[EVENTS_MAX];
  int count = epoll_wait(clients->network.epoll, events, EVENTS_MAX, timeout_ms);
  for (int i = 0; i < count; i++)
    connection_event(&clients->network, events[i].data.ptr, events[i].events);
  return count;
}

void clients_on_ready(Clients *clients) {
  clients->in_progress--;
  clients->ready++;
}

void clients_on_failed(Clients *clients, const Connection *connection, Phase reached, const char *why) {
  clients->in_progress--;
  if (clients->failed++ < FAILURES_LOGGED_MAX)
    fprintf(stderr, "generator: login %d failed (phase: %s): %s\n", connection->index, phase_name(reached), why);
}
