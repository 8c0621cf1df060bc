// See histogram.h. Each value below 64 has a bucket of its own; every further power of two has 64 buckets.
#include "histogram.h"

#include <string.h>

static unsigned bucket_of(uint64_t ns) {
  if (ns < 64) return (unsigned)ns;
  unsigned exponent = 63u - (unsigned)__builtin_clzll(ns);
  unsigned bucket = (exponent - 5) * 64 + (unsigned)((ns >> (exponent - 6)) & 63);
  return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static double middle_of(unsigned bucket) {
  if (bucket < 64) return bucket;
  double width = (double)(1ull << (bucket / 64 - 1));
  return width * (64 + bucket % 64) + width / 2;
}

void histogram_add(Histogram *histogram, uint64_t ns) {
  histogram->counts[bucket_of(ns)]++;
  histogram->total++;
  if (ns > histogram->max) histogram->max = ns;
}

void histogram_clear(Histogram *histogram) { memset(histogram, 0, sizeof *histogram); }

double histogram_at(const Histogram *histogram, double share) {
  double wanted = share * (double)histogram->total;
  uint64_t seen = 0;
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
    seen += histogram->counts[i];
    if (histogram->counts[i] > 0 && (double)seen >= wanted) return middle_of(i);
  }
  return 0;
}

void histogram_print(const Histogram *histogram, FILE *out) {
  fprintf(out, "{\"total\":%llu,\"maxNs\":%llu,\"buckets\":[", (unsigned long long)histogram->total,
          (unsigned long long)histogram->max);
  const char *comma = "";
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
    if (histogram->counts[i] == 0) continue;
    fprintf(out, "%s[%u,%llu]", comma, i, (unsigned long long)histogram->counts[i]);
    comma = ",";
  }
  fprintf(out, "]}");
}
