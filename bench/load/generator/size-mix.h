// Packet sizes: one size, or several with weights.
#ifndef SIZE_MIX_H
#define SIZE_MIX_H

#include <stdint.h>

#define SIZES_MAX 8

typedef struct {
  int sizes[SIZES_MAX], weights[SIZES_MAX], count, weight_sum;
  int largest;
} SizeMix;

// Parses BYTES:WEIGHT,BYTES:WEIGHT... (a missing weight is 1), or ends the program with an error.
SizeMix size_mix_parse(const char *text);
// The packet size of a sender's batch: pseudo-random by weight, the same in every run.
int size_mix_draw(const SizeMix *mix, uint64_t sender, uint64_t batch);

#endif
