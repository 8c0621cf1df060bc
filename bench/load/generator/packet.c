// The checksum adds 64-bit words in eight lanes, each with a running sum of its sums, so that words changed,
// swapped or missing show; the compiler makes vector instructions of it, which keeps it far below the cost of
// AES.
#include "packet.h"

#include <string.h>

typedef uint64_t Lanes __attribute__((vector_size(64)));

#define CHECKSUM_AT 24
#define SEEN_WORDS (SEEN_NUMBERS / 64)

static uint64_t fold(const Lanes *sums, const Lanes *sums_of_sums, size_t size) {
  uint64_t folded = size * 0x9e3779b97f4a7c15ull;
  for (int i = 0; i < 8; i++) {
    folded = (folded ^ (*sums)[i]) * 0xff51afd7ed558ccdull;
    folded = (folded ^ (folded >> 29) ^ (*sums_of_sums)[i]) * 0xc4ceb9fe1a85ec53ull;
    folded ^= folded >> 32;
  }
  return folded;
}

// Over the packet with its checksum field read as zero.
static uint64_t checksum(const uint8_t *packet, size_t size) {
  Lanes sums = {0}, sums_of_sums = {0}, words;
  uint8_t block[64] = {0};
  memcpy(block, packet, size < 64 ? size : 64);
  memset(block + CHECKSUM_AT, 0, 8);
  memcpy(&words, block, 64);
  sums += words;
  sums_of_sums += sums;
  size_t at = 64;
  for (; at + 64 <= size; at += 64) {
    memcpy(&words, packet + at, 64);
    sums += words;
    sums_of_sums += sums;
  }
  if (at < size) {
    memset(block, 0, 64);
    memcpy(block, packet + at, size - at);
    memcpy(&words, block, 64);
    sums += words;
    sums_of_sums += sums;
  }
  return fold(&sums, &sums_of_sums, size);
}

// Fillings differ from packet to packet, so that a piece of another packet is no valid piece of this one.
static const uint8_t *filling(void) {
  static uint8_t bytes[PACKET_MAX + 4096];
  static bool is_made;
  if (!is_made) {
    uint64_t state = 0x243f6a8885a308d3ull;
    for (size_t i = 0; i + 8 <= sizeof bytes; i += 8) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      memcpy(bytes + i, &state, 8);
    }
    is_made = true;
  }
  return bytes;
}

void packet_fill(uint8_t *packet, size_t size, const PacketHead *head) {
  memcpy(packet, head, CHECKSUM_AT);
  size_t offset = (size_t)((head->number * 40503 + head->flow * 2654435761u) & 4095);
  memcpy(packet + PACKET_MIN, filling() + offset, size - PACKET_MIN);
  uint64_t sum = checksum(packet, size);
  memcpy(packet + CHECKSUM_AT, &sum, 8);
}

bool packet_read(const uint8_t *packet, size_t size, PacketHead *head) {
  if (size < PACKET_MIN) return false;
  uint64_t sum;
  memcpy(&sum, packet + CHECKSUM_AT, 8);
  if (sum != checksum(packet, size)) return false;
  memcpy(head, packet, CHECKSUM_AT);
  return true;
}

// Whole words that the window moves over are forgotten; numbers that were skipped stay unseen.
static void move_window(Sequence *sequence, uint64_t number) {
  uint64_t first = (sequence->next + 63) / 64, last = number / 64;
  if (last >= first + SEEN_WORDS) first = last - SEEN_WORDS + 1;
  for (uint64_t at = first; at <= last; at++)
    sequence->seen[at % SEEN_WORDS] = 0;
  sequence->next = number + 1;
}

SequenceVerdict sequence_take(Sequence *sequence, uint64_t number) {
  uint64_t *word = &sequence->seen[number / 64 % SEEN_WORDS];
  uint64_t bit = 1ull << (number % 64);
  if (number >= sequence->next) {
    move_window(sequence, number);
    *word |= bit;
    sequence->unique++;
    return SEQUENCE_NEW;
  }
  // Older than the window: it can't be told whether it came before, and late is what it certainly is.
  bool is_known = sequence->next - number <= SEEN_NUMBERS - 64;
  if (is_known && (*word & bit) != 0) {
    sequence->duplicated++;
    return SEQUENCE_DUPLICATE;
  }
  if (is_known) *word |= bit;
  sequence->unique++;
  sequence->reordered++;
  return SEQUENCE_REORDERED;
}
