// The output of a packet load: delays of each interval, and the result at the end.
#ifndef PACKET_LOAD_REPORT_H
#define PACKET_LOAD_REPORT_H

#include "server-stat.h"
#include "traffic.h"

// What is measured beside the packets.
typedef struct {
  // Of the server; of both servers together if the receivers are at another one.
  ServerStat before, after;
  // The time during the window in which the generator had nothing to do.
  uint64_t idle_ns;
  double login_seconds;
} PacketLoadUsage;

// Prints the delays since the last call and starts a new interval.
void print_interval(Traffic *traffic, uint64_t now);
// `gap_ns` is the time from one batch of the schedule to the next; 0: there is no schedule.
void print_result(const Traffic *traffic, const PacketLoadUsage *usage, double gap_ns);

#endif
