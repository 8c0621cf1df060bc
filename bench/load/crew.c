// See crew.h.
#include "crew.h"

#include <stdio.h>

#include "clock.h"
#include "memory.h"

#define EVENTS_MAX 256
// More than this many descriptions of failures tell nothing new.
#define COMPLAINTS_MAX 5

void crew_start(Crew *crew, const Options *options, int count) {
  Handler handler = crew->network.handler;
  network_start(&crew->network, options->address, !options->is_plain);
  crew->network.handler = handler;
  LoginFile file = login_file_read(options->logins);
  if (file.count < options->login_from + count)
    fail("--logins: %d are there, %d are needed", file.count, options->login_from + count);
  for (int i = 0; i < KEY_BYTES; i++)
    crew->network.server_key[i] = file.server_key[i];
  crew->connections = zeroed((size_t)count, sizeof(Connection));
  crew->count = count;
  for (int i = 0; i < count; i++) {
    crew->connections[i].index = options->login_from + i;
    crew->connections[i].login = &file.logins[options->login_from + i];
  }
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
