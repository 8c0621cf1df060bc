// See size-mix.h.
#include "size-mix.h"

#include <stdio.h>
#include <string.h>

#include "fail.h"
#include "packet.h"

SizeMix size_mix_parse(const char *text) {
  SizeMix mix = {0};
  for (const char *at = text; at != NULL && *at != 0;) {
    int size = 0, weight = 1;
    if (mix.count == SIZES_MAX || sscanf(at, "%d:%d", &size, &weight) < 1 || weight < 1)
      fail("--size or --mix %s: expected at most %d times BYTES or BYTES:WEIGHT, separated by commas", text, SIZES_MAX);
    if (size < PACKET_MIN || size > PACKET_MAX)
      fail("--size or --mix %s: expected packet sizes from %d to %d, got %d", text, PACKET_MIN, PACKET_MAX, size);
    mix.sizes[mix.count] = size;
    mix.weights[mix.count++] = weight;
    mix.weight_sum += weight;
    if (size > mix.largest) mix.largest = size;
    at = strchr(at, ',');
    if (at != NULL) at++;
  }
  return mix;
}

int size_mix_draw(const SizeMix *mix, uint64_t sender, uint64_t batch) {
  if (mix->count == 1) return mix->sizes[0];
  uint64_t drawn = (batch * 0x9e3779b97f4a7c15ull) ^ (sender * 0xc4ceb9fe1a85ec53ull);
  drawn = (drawn ^ (drawn >> 31)) * 0xff51afd7ed558ccdull;
  int left = (int)((drawn >> 33) % (uint64_t)mix->weight_sum);
  for (int i = 0; i < mix->count; i++) {
    left -= mix->weights[i];
    if (left < 0) return mix->sizes[i];
  }
  return mix->sizes[0];
}
