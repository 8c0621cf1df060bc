// All connections of a scenario, and bringing them in: a fixed number of logins is under way at any time,
// until all are in. Used by every scenario before its own work begins.
#ifndef CLIENTS_H
#define CLIENTS_H

#include "connection.h"
#include "options.h"

typedef struct {
  Network network;
  // Where connections go; `far` is where the receivers are, if they are elsewhere.
  Remote near, far;
  Connection *connections;
  int count;
  // How many are under way, how many of those asked for came in, failed.
  int under_way, ready, failed;
  // The next one to dial.
  int next;
} Crew;

void crew_start(Crew *crew, const Options *options, int count);
// Dials as many as may be under way at once.
void crew_dial_on(Crew *crew, int in_flight);
// Waits until connections [0, count) are in or have failed; answers the seconds it took.
double crew_bring_in(Crew *crew, int in_flight);
// One look at the sockets; waits at most so long.
int crew_turn(Crew *crew, int timeout_ms);

// To be called by a scenario's own handlers, which are the network's.
void crew_on_ready(Crew *crew);
// How far a login had come, in words.
const char *phase_name(Phase phase);
void crew_on_failed(Crew *crew, const Connection *connection, Phase reached, const char *why);

#endif
