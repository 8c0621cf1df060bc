// See traffic.h.
#include "traffic.h"

#include <string.h>

#include "clock.h"
#include "memory.h"

int traffic_connections(const Options *options) {
  if (options->topology == TOPOLOGY_RING) return options->count;
  return options->topology == TOPOLOGY_PAIRS ? 2 * options->count : options->count + 1;
}

// Receivers come first: connection 0 is the one that fan-in goes to, and fan-out comes from. In a ring
// everybody sends to the next.
static int source_of(Topology topology, int count, int flow) {
  if (topology == TOPOLOGY_PAIRS) return count + flow;
  if (topology == TOPOLOGY_FAN_IN) return flow + 1;
  return topology == TOPOLOGY_FAN_OUT ? 0 : flow;
}

static int target_of(Topology topology, int count, int flow) {
  if (topology == TOPOLOGY_PAIRS) return flow;
  if (topology == TOPOLOGY_FAN_IN) return 0;
  return topology == TOPOLOGY_FAN_OUT ? flow + 1 : (flow + 1) % count;
}

void traffic_arrange(Traffic *traffic) {
  int count = traffic->options.count;
  Topology topology = traffic->options.topology;
  Connection *connections = traffic->crew.connections;
  traffic->flow_count = count;
  traffic->sender_count = topology == TOPOLOGY_FAN_OUT ? 1 : count;
  traffic->flows = zeroed((size_t)count, sizeof(Flow));
  traffic->senders = zeroed((size_t)traffic->sender_count, sizeof(Sender));
  traffic->run = (uint32_t)now_ns();
  for (int i = 0; i < count; i++) {
    traffic->flows[i].from = &connections[source_of(topology, count, i)];
    traffic->flows[i].to = &connections[target_of(topology, count, i)];
  }
  for (int i = 0; i < traffic->sender_count; i++) {
    Sender *sender = &traffic->senders[i];
    *sender = (Sender){.connection = traffic->flows[i].from,
                       .index = i,
                       .first_flow = i,
                       .flow_count = topology == TOPOLOGY_FAN_OUT ? count : 1};
    sender->connection->owner = sender;
  }
}

static size_t shot_bytes(const Traffic *traffic, int size) {
  return (size_t)traffic->options.batch * (FRAME_HEAD + (size_t)size);
}

bool traffic_has_room(const Traffic *traffic) {
  int most = 0;
  for (int i = 0; i < traffic->options.size_count; i++)
    if (traffic->options.sizes[i] > most) most = traffic->options.sizes[i];
  return shots_have_room(&traffic->crew.network, shot_bytes(traffic, most));
}

void traffic_make_shot(Traffic *traffic, Sender *sender, uint64_t intended_ns) {
  Network *network = &traffic->crew.network;
  int flow_index = sender->first_flow + (int)(sender->shots % (uint64_t)sender->flow_count);
  Flow *flow = &traffic->flows[flow_index];
  int size = options_size(&traffic->options, (uint64_t)sender->index, sender->shots);
  size_t plain = shot_bytes(traffic, size);
  uint8_t *frame = shot_open(network, plain);
  for (int i = 0; i < traffic->options.batch; i++) {
    PacketHead head = {.flow = (uint32_t)flow_index,
                       .run = traffic->run,
                       .number = flow->made++,
                       .intended_ns = intended_ns};
    frame_head(frame, flow->to->login->key, (size_t)size);
    packet_fill(frame + FRAME_HEAD, (size_t)size, &head);
    frame += FRAME_HEAD + size;
  }
  shot_close(network, sender->connection, plain);
  sender->shots++;
  if (intended_ns >= traffic->window_start && intended_ns < traffic->window_end)
    traffic->ledger.made += (uint64_t)traffic->options.batch;
}

// What is right in itself must still be at the right receiver, and said to be of the right sender.
static Flow *flow_of(Traffic *traffic, const Connection *connection, const uint8_t *from,
                     const PacketHead *head) {
  if (head->flow >= (uint32_t)traffic->flow_count) return NULL;
  Flow *flow = &traffic->flows[head->flow];
  bool is_right = flow->to == connection && memcmp(from, flow->from->login->key, KEY_BYTES) == 0 &&
                  head->number < flow->made;
  return is_right ? flow : NULL;
}

static void take_packet(Traffic *traffic, const Connection *connection, const uint8_t *payload,
                        size_t length) {
  Ledger *ledger = &traffic->ledger;
  PacketHead head;
  if (length < KEY_BYTES || !packet_read(payload + KEY_BYTES, length - KEY_BYTES, &head)) {
    ledger->corrupted++;
    return;
  }
  if (head.run != traffic->run) {
    ledger->stale++;
    return;
  }
  Flow *flow = flow_of(traffic, connection, payload, &head);
  if (flow == NULL) {
    ledger->misdelivered++;
    return;
  }
  if (sequence_take(&flow->received, head.number) == SEQUENCE_DUPLICATE) return;
  uint64_t now = now_ns();
  if (now >= traffic->window_start && now < traffic->window_end) {
    ledger->arrived++;
    ledger->arrived_bytes += length - KEY_BYTES;
  }
  if (head.intended_ns < traffic->window_start || head.intended_ns >= traffic->window_end) return;
  ledger->came++;
  histogram_add(&ledger->delays, now - head.intended_ns);
  if (traffic->options.interval_seconds > 0) histogram_add(&traffic->interval, now - head.intended_ns);
}

void traffic_take(Traffic *traffic, const Connection *connection, uint8_t type, const uint8_t *payload,
                  size_t length) {
  if (type == FRAME_RECV)
    take_packet(traffic, connection, payload, length);
  else if (type == FRAME_PEER_GONE)
    traffic->ledger.peer_gone++;
  else
    traffic->ledger.other_frames++;
}
