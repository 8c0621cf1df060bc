// The sequence numbers that a flow's receiver has seen: distinguishes new, reordered and duplicate packets.
#ifndef SEQUENCE_H
#define SEQUENCE_H

#include <stdint.h>

// The number of latest sequence numbers that are remembered, to distinguish a duplicate from a late packet.
#define SEEN_NUMBERS 1024

typedef struct {
  // The highest number that has arrived, plus one.
  uint64_t next;
  uint64_t duplicated;
  uint64_t reordered;
  uint64_t seen[SEEN_NUMBERS / 64];
} Sequence;

typedef enum { SEQUENCE_NEW, SEQUENCE_REORDERED, SEQUENCE_DUPLICATE } SequenceResult;

// Records that a packet with this number has arrived.
SequenceResult sequence_add(Sequence *sequence, uint64_t number);

#endif
