// Flows of packets between logged-in connections, and the account of what became of them: the ledger that
// every load run keeps. What is sent when is the schedule's affair (packet-load.c).
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include "clients.h"
#include "histogram.h"
#include "packet.h"

typedef struct {
  Connection *from, *to;
  // Frames made, the number of the next one.
  uint64_t made;
  Sequence received;
} Flow;

typedef struct {
  Connection *connection;
  int index, first_flow, flow_count;
  // Shots made: what was due is reckoned from it, so nothing needs to be kept while the socket is full.
  uint64_t shots;
  bool was_blocked;
} Sender;

typedef struct {
  // Packets by the time they were meant to be sent at: made in the window, and of these, what came.
  uint64_t made, came;
  // Packets by the time they came: what was carried during the window.
  uint64_t arrived, arrived_bytes;
  uint64_t corrupted, misdelivered, peer_gone, other_frames;
  // Right, but of another run with the same keys: what a server still had in its queues.
  uint64_t stale;
  // Shots that waited for a full socket; shots that the generator itself made more than 5 ms late.
  uint64_t waited, late;
  Histogram delays;
} Ledger;

typedef struct {
  Options options;
  Crew crew;
  Flow *flows;
  Sender *senders;
  int flow_count, sender_count;
  uint32_t run;
  uint64_t window_start, window_end;
  Ledger ledger;
  Histogram interval;
  int closed_count;
  // Set while connections come in: what is closed then is a failed login.
  bool is_coming_in;
  uint64_t start_ns, first_closed_ns;
} Traffic;

// How many connections the topology takes.
int traffic_connections(const Options *options);
// Makes flows and senders out of the crew's connections.
void traffic_arrange(Traffic *traffic);
// Makes one shot of the sender, into the network's buffer, for packets meant to be sent at that time.
void traffic_make_shot(Traffic *traffic, Sender *sender, uint64_t intended_ns);
bool traffic_has_room(const Traffic *traffic);
// Accounts for a frame that came.
void traffic_take(Traffic *traffic, const Connection *connection, uint8_t type, const uint8_t *payload,
                  size_t length);

#endif
