// See traffic.h.
#include "traffic.h"

#include <string.h>

#include "clock.h"
#include "frame.h"
#include "memory.h"
#include "send-buffer.h"

int traffic_connections(const Options *options) {
  if (options->topology == TOPOLOGY_RING) return options->count;
  return options->topology == TOPOLOGY_PAIRS ? 2 * options->count : options->count + 1;
}

// Receivers have the lowest indexes. Connection 0 is the receiver of a fan-in and the sender of a fan-out. In a ring
// each connection sends to the next.
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
  Connection *connections = traffic->clients.connections;
  traffic->flow_count = count;
  traffic->sender_count = topology == TOPOLOGY_FAN_OUT ? 1 : count;
  traffic->flows = allocate_zeroed((size_t)count, sizeof(Flow));
  traffic->senders = allocate_zeroed((size_t)traffic->sender_count, sizeof(Sender));
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
    sender->connection->user_data = sender;
  }
}

static size_t batch_bytes(const Traffic *traffic, int size) {
  return (size_t)traffic->options.frames_per_batch * (FRAME_HEAD + (size_t)size);
}

bool traffic_has_room(const Traffic *traffic) {
  return send_buffer_has_room(&traffic->clients.network, batch_bytes(traffic, traffic->options.packet_sizes.largest));
}

void traffic_make_batch(Traffic *traffic, Sender *sender, uint64_t due_ns) {
  Network *network = &traffic->clients.network;
  int flow_index = sender->first_flow + (int)(sender->batches % (uint64_t)sender->flow_count);
  Flow *flow = &traffic->flows[flow_index];
  int size = size_mix_draw(&traffic->options.packet_sizes, (uint64_t)sender->index, sender->batches);
  size_t plain = batch_bytes(traffic, size);
  uint8_t *frame = batch_begin(network, plain);
  for (int i = 0; i < traffic->options.frames_per_batch; i++) {
    PacketHead head = {.flow = (uint32_t)flow_index, .run = traffic->run, .number = flow->created++, .due_ns = due_ns};
    frame_head(frame, flow->to->login->key, (size_t)size);
    packet_fill(frame + FRAME_HEAD, (size_t)size, &head);
    frame += FRAME_HEAD + size;
  }
  batch_seal(network, sender->connection, plain);
  sender->batches++;
  if (due_ns >= traffic->window_start && due_ns < traffic->window_end)
    traffic->counts.created += (uint64_t)traffic->options.frames_per_batch;
}

// The flow of a valid packet; NULL if the packet is at the wrong receiver or names the wrong sender.
static Flow *flow_of(Traffic *traffic, const Connection *connection, const uint8_t *from, const PacketHead *head) {
  if (head->flow >= (uint32_t)traffic->flow_count) return NULL;
  Flow *flow = &traffic->flows[head->flow];
  bool is_valid =
      flow->to == connection && memcmp(from, flow->from->login->key, KEY_BYTES) == 0 && head->number < flow->created;
  return is_valid ? flow : NULL;
}

static void count_packet(Traffic *traffic, const Connection *connection, const uint8_t *payload, size_t length) {
  PacketCounts *counts = &traffic->counts;
  PacketHead head;
  if (length < KEY_BYTES || !packet_read(payload + KEY_BYTES, length - KEY_BYTES, &head)) {
    counts->corrupted++;
    return;
  }
  if (head.run != traffic->run) {
    counts->stale++;
    return;
  }
  Flow *flow = flow_of(traffic, connection, payload, &head);
  if (flow == NULL) {
    counts->misdelivered++;
    return;
  }
  if (sequence_add(&flow->received, head.number) == SEQUENCE_DUPLICATE) return;
  uint64_t now = now_ns();
  if (now >= traffic->window_start && now < traffic->window_end) {
    counts->arrived++;
    counts->arrived_bytes += length - KEY_BYTES;
  }
  if (head.due_ns < traffic->window_start || head.due_ns >= traffic->window_end) return;
  counts->received++;
  histogram_add(&counts->delays, now - head.due_ns);
  if (traffic->options.interval_seconds > 0) histogram_add(&traffic->interval, now - head.due_ns);
}

void traffic_on_frame(Traffic *traffic, const Connection *connection, uint8_t type, const uint8_t *payload,
                      size_t length) {
  if (type == FRAME_RECV)
    count_packet(traffic, connection, payload, length);
  else if (type == FRAME_PEER_GONE)
    traffic->counts.peer_gone++;
  else
    traffic->counts.other_frames++;
}
