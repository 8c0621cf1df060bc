// The packets of a run. A packet contains the number of its flow, its sequence number and the time at which it was due,
// and a checksum over the whole packet. So a receiver detects packets that are corrupted, misdelivered, duplicated,
// reordered or lost.
//
// Layout: flow (4 bytes), run (4), number (8), due time (8), checksum (8), padding
#ifndef PACKET_H
#define PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_MIN 32
#define PACKET_MAX 65536

typedef struct {
  uint32_t flow;
  uint32_t run;
  uint64_t number;
  uint64_t due_ns;
} PacketHead;

// Writes a packet of `size` bytes.
void packet_fill(uint8_t *packet, size_t size, const PacketHead *head);
// Reads a packet; returns false if any byte of it was changed.
bool packet_read(const uint8_t *packet, size_t size, PacketHead *head);

#endif
