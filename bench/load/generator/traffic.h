// Flows of packets between logged-in connections, and the count of what happened to the packets. The scenario decides
// what is sent when.
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include "clients.h"
#include "histogram.h"
#include "packet.h"
#include "sequence.h"

// The packets from one connection to another.
typedef struct {
  Connection *from, *to;
  // Packets created, which is the number of the next one.
  uint64_t created;
  Sequence received;
} Flow;

// A connection that sends, and its flows: [first_flow, first_flow + flow_count).
typedef struct {
  Connection *connection;
  int index, first_flow, flow_count;
  // Batches created. The due time of the next one follows from it, so no queue is needed while the socket is full.
  uint64_t batches;
  bool was_blocked;
} Sender;

typedef struct {
  // Packets that were due in the measured window: created, and received until the end of the run.
  uint64_t created, received;
  // Packets that arrived during the window, whenever they were due.
  uint64_t arrived, arrived_bytes;
  uint64_t corrupted, misdelivered, peer_gone, other_frames;
  // Valid packets of another run with the same keys, which a server still had in its queues.
  uint64_t stale;
  // Batches that waited for a full socket; batches that the generator itself created more than 5 ms late.
  uint64_t waited, late;
  Histogram delays;
} PacketCounts;

typedef struct {
  Options options;
  Clients clients;
  Flow *flows;
  Sender *senders;
  int flow_count, sender_count;
  // Differs from run to run.
  uint32_t run;
  uint64_t window_start, window_end;
  PacketCounts counts;
  // Delays since the last interval was reported.
  Histogram interval;
  int closed_count;
  // Set during the logins: a connection that is closed then is a failed login.
  bool is_logging_in;
  uint64_t start_ns, first_closed_ns;
} Traffic;

// The number of connections in the topology.
int traffic_connections(const Options *options);
// Makes flows and senders of the connections.
void traffic_arrange(Traffic *traffic);
bool traffic_has_room(const Traffic *traffic);
// Adds a batch of the sender, with packets that are due at `due_ns`, to the send buffer.
void traffic_make_batch(Traffic *traffic, Sender *sender, uint64_t due_ns);
// Counts a frame that was received.
void traffic_on_frame(Traffic *traffic, const Connection *connection, uint8_t type, const uint8_t *payload,
                      size_t length);

#endif
