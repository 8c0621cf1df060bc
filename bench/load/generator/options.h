// The command line of the generator.
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "size-mix.h"

typedef enum {
  SCENARIO_PACKET_LOAD,
  SCENARIO_IDLE_CONNECTIONS,
  SCENARIO_RECONNECT_STORM,
  SCENARIO_STUN_REQUESTS,
  SCENARIO_LOGIN_CHURN,
  SCENARIO_MOVING_CLIENTS,
  SCENARIO_PROCESSOR_SPEED
} Scenario;
typedef enum { TOPOLOGY_PAIRS, TOPOLOGY_FAN_IN, TOPOLOGY_FAN_OUT, TOPOLOGY_RING } Topology;

typedef struct {
  Scenario scenario;
  const char *address, *logins;
  // The server of the receivers, if they are at another relay of the mesh.
  const char *far_address, *far_logins;
  int login_from, pid, far_pid, in_flight;
  bool is_plain, waits_for_start, is_realtime, is_strict;

  Topology topology;
  // `count` is the number of pairs, senders, receivers or connections, depending on scenario and topology.
  int count, frames_per_batch;
  // Batches in one write when there is no schedule.
  int batches_per_write;
  SizeMix packet_sizes;
  // Frames per second of all senders together; 0: no schedule, as much as the sockets accept.
  double rate;
  // Microseconds from one burst of the schedule to the next; 0: each batch has a time of its own.
  double tick_us;
  double seconds, warm_seconds, drain_seconds, interval_seconds;
  // Bytes per second that the first receiver reads, and the time from which on it reads nothing. A negative rate: there
  // is no slow receiver.
  double slow_rate, slow_until;

  // Idle connections: the phases in order, separated by commas; see idle-connections.c.
  const char *phases;
  double quiet_seconds, burst_rate;
  int burst_bytes;
  double settle_seconds;
} Options;

// Reads the command line, or ends the program with an error that names the option.
Options options_read(int argc, char **argv);

#endif
