// The command line of the generator.
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

typedef enum { SCENARIO_FLOW, SCENARIO_HOLD, SCENARIO_STORM, SCENARIO_STUN, SCENARIO_CHURN } Scenario;
typedef enum { TOPOLOGY_PAIRS, TOPOLOGY_FAN_IN, TOPOLOGY_FAN_OUT, TOPOLOGY_RING } Topology;

#define SIZES_MAX 8

typedef struct {
  Scenario scenario;
  const char *address, *logins;
  // Where the receivers are, if that is another relay of the mesh.
  const char *far_address, *far_logins;
  int login_from, pid, far_pid, in_flight;
  bool is_plain, waits_for_go, is_realtime, is_strict;

  Topology topology;
  // Frames in a shot; shots in a write when everything is sent that can be.
  int count, batch, per_write;
  int sizes[SIZES_MAX], weights[SIZES_MAX], size_count, weight_sum;
  // Frames per second in all; 0 is all that can be sent.
  double rate;
  double seconds, warm_seconds, drain_seconds, interval_seconds;
  // The first receiver reads so many bytes per second; nothing at all from slow_until on. Negative: it is not
  // slow.
  double slow_rate, slow_until;

  // hold: what is done one after the other; see idle-connections.c.
  const char *phases;
  double quiet_seconds, burst_rate;
  int burst_bytes;
  double settle_seconds;
} Options;

// Reads the command line, or ends the program with what is wrong with it.
Options options_read(int argc, char **argv);
// The size of the packets of a sender's shot, spread over the mix in a fixed way.
int options_size(const Options *options, uint64_t sender, uint64_t shot);

#endif
