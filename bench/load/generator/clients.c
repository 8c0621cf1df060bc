// See clients.h.
#include "clients.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "memory.h"

#define EVENTS_MAX 256
// More than this many descriptions of failures tell nothing new.
#define COMPLAINTS_MAX 5

// Connections [from, until) are of that server, with logins out of that file.
static void assign(Crew *crew, const Remote *remote, const LoginFile *file, int login_from, int from,
                   int until) {
  if (file->count < login_from + until)
    fail("--logins: %d are there, %d are needed", file->count, login_from + until);
  for (int i = from; i < until; i++) {
    crew->connections[i].remote = remote;
    crew->connections[i].index = login_from + i;
    crew->connections[i].login = &file->logins[login_from + i];
  }
}

static LoginFile start_remote(Remote *remote, const char *flag, const char *address, const char *logins) {
  LoginFile file = login_file_read(logins);
  remote->address = network_address(flag, address);
  memcpy(remote->key, file.server_key, KEY_BYTES);
  return file;
}

void crew_start(Crew *crew, const Options *options, int count) {
  Handler handler = crew->network.handler;
  network_start(&crew->network, !options->is_plain);
  crew->network.handler = handler;
  crew->connections = zeroed((size_t)count, sizeof(Connection));
  crew->count = count;
  LoginFile file = start_remote(&crew->near, "--addr", options->address, options->logins);
  assign(crew, &crew->near, &file, options->login_from, 0, count);
  if (options->far_address == NULL) return;
  // Receivers come first: see traffic.c.
  int receivers = options->topology == TOPOLOGY_PAIRS ? options->count : 1;
  LoginFile far_file = start_remote(&crew->far, "--far", options->far_address, options->far_logins);
  assign(crew, &crew->far, &far_file, options->login_from, 0, receivers);
}

void crew_dial_on(Crew *crew, int in_flight) {
  while (crew->under_way < in_flight && crew->next < crew->count) {
    crew->under_way++;
    connection_dial(&crew->network, &crew->connections[crew->next++]);
  }
}

double crew_bring_in(Crew *crew, int in_flight) {
  uint64_t start = now_ns();
  crew->next = crew->ready = crew->failed = crew->under_way = 0;
  while (crew->ready + crew->failed < crew->count) {
    crew_dial_on(crew, in_flight);
    crew_turn(crew, 100);
  }
  return (double)(now_ns() - start) / 1e9;
}

int crew_turn(Crew *crew, int timeout_ms) {
  struct epoll_event events[EVENTS_MAX];
  int count = epoll_wait(crew->network.epoll, events, EVENTS_MAX, timeout_ms);
  for (int i = 0; i < count; i++)
    connection_event(&crew->network, events[i].data.ptr, events[i].events);
  return count;
}

void crew_on_ready(Crew *crew) {
  crew->under_way--;
  crew->ready++;
}

const char *phase_name(Phase phase) {
  static const char *const NAMES[] = {"closed",       "dialling",      "in TLS", "at the upgrade",
                                      "at ServerKey", "at ServerInfo", "in"};
  return NAMES[phase];
}

void crew_on_failed(Crew *crew, const Connection *connection, Phase reached, const char *why) {
  crew->under_way--;
  if (crew->failed++ < COMPLAINTS_MAX)
    fprintf(stderr, "generator: login %d failed %s: %s\n", connection->index, phase_name(reached), why);
}
