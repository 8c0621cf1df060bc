// The packets of a run and what becomes of them. Each names its flow, its number in the flow and the time it
// was meant to be sent at, and carries a checksum over all of itself, so that a receiver can tell what was
// corrupted, misdelivered, duplicated, reordered or lost.
//
// flow (4 bytes), run (4), number (8), intended time (8), checksum (8), filling
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
  uint64_t intended_ns;
} PacketHead;

// How many of the latest numbers of a flow are remembered, to tell a duplicate from a latecomer.
#define SEEN_NUMBERS 1024

typedef struct {
  // One more than the highest number that came.
  uint64_t next;
  uint64_t unique;
  uint64_t duplicated;
  uint64_t reordered;
  uint64_t seen[SEEN_NUMBERS / 64];
} Sequence;

// Fills a packet of `size` bytes.
void packet_fill(uint8_t *packet, size_t size, const PacketHead *head);
// Reads a packet; false when a byte of it is not what was sent.
bool packet_read(const uint8_t *packet, size_t size, PacketHead *head);

typedef enum { SEQUENCE_NEW, SEQUENCE_REORDERED, SEQUENCE_DUPLICATE } SequenceVerdict;
SequenceVerdict sequence_take(Sequence *sequence, uint64_t number);

#endif
