// Delays in nanoseconds, counted in buckets that are 1/64 of a power of two wide. So every percentile is accurate to
// 1.6 %, and the histograms of several processes can be added. Printed as pairs [bucket, count], without empty buckets.
#ifndef HISTOGRAM_H
#define HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

// Up to 2^41 ns, about 36 minutes: no delay of a run is longer.
#define HISTOGRAM_BUCKETS (37 * 64)

typedef struct {
  uint64_t counts[HISTOGRAM_BUCKETS];
  uint64_t total;
  uint64_t max;
} Histogram;

void histogram_add(Histogram *histogram, uint64_t ns);
void histogram_clear(Histogram *histogram);
// The delay that this share of all delays does not exceed: the middle of its bucket. 0 without delays.
double histogram_at(const Histogram *histogram, double share);
void histogram_print(const Histogram *histogram, FILE *out);

#endif
