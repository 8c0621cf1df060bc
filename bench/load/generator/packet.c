// See packet.h. The checksum adds 64-bit words in eight lanes, each with a running sum of its sums, so that it detects
// words that are changed, swapped or missing. The compiler makes vector instructions of it: it costs far less than AES.
#include "packet.h"

#include <string.h>

typedef uint64_t Lanes __attribute__((vector_size(64)));

#define CHECKSUM_AT 24

static uint64_t fold(const Lanes *sums, const Lanes *sums_of_sums, size_t size) {
  uint64_t folded = size * 0x9e3779b97f4a7c15ull;
  for (int i = 0; i < 8; i++) {
    folded = (folded ^ (*sums)[i]) * 0xff51afd7ed558ccdull;
    folded = (folded ^ (folded >> 29) ^ (*sums_of_sums)[i]) * 0xc4ceb9fe1a85ec53ull;
    folded ^= folded >> 32;
  }
  return folded;
}

// Of the packet with zeroes in the checksum field.
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

// Padding differs from packet to packet, so that a piece of another packet does not pass as a piece of this one.
static const uint8_t *padding(void) {
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
  memcpy(packet + PACKET_MIN, padding() + offset, size - PACKET_MIN);
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
