// See processor-speed.h. The work is additions that do not depend on each other: they fill the core. On a core whose other
// hardware thread is busy they take up to twice as long, while a chain of dependent operations would take as long as ever.
#include "processor-speed.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "fail.h"
#include "histogram.h"

// Some ten microseconds.
#define STEPS 10000

static uint64_t work_ns(void) {
  uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8, start = now_ns();
  for (uint64_t i = 0; i < STEPS; i++) {
    a += i, b ^= i, c += i, d ^= i, e += i, f ^= i, g += i, h ^= i;
    // All of it has to be done, one step after another.
    __asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f), "+r"(g), "+r"(h));
  }
  return now_ns() - start;
}

void run_processor_speed(const Options *options) {
  static Histogram times;
  uint64_t end = options->rate > 0 ? UINT64_MAX : now_ns() + (uint64_t)(options->seconds * 1e9);
  int pause_ms = options->rate > 0 ? (int)(1000 / options->rate) : 0;
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  while (now_ns() < end) {
    if (pause_ms > 0 && poll(&input, 1, pause_ms) < 0) fail("poll failed");
    if (input.revents != 0) break;
    // After a pause, the first one finds another program's data in the core.
    work_ns();
    histogram_add(&times, work_ns());
  }
  double fast_ns = histogram_at(&times, 0.05), median_ns = histogram_at(&times, 0.5);
  printf("{\"event\":\"speed\",\"samples\":%llu,\"fastNs\":%.0f,\"medianNs\":%.0f}\n", (unsigned long long)times.total,
         fast_ns, median_ns);
  fprintf(stderr, "the same work took %.0f ns (median), at best %.0f ns\n", median_ns, fast_ns);
}
