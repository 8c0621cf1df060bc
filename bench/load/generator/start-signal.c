// See start-signal.h.
#include "start-signal.h"

#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>

#include "clock.h"
#include "fail.h"

static void become_realtime(void) {
  struct sched_param parameter = {.sched_priority = 10};
  if (sched_setscheduler(0, SCHED_FIFO, &parameter) != 0 && setpriority(PRIO_PROCESS, 0, -20) != 0)
    fprintf(stderr, "generator: no permission for real-time priority; delays include waiting for the processor\n");
}

uint64_t start_signal(const Options *options) {
  if (options->is_realtime) become_realtime();
  if (!options->waits_for_start) return now_ns() + 20 * NS_PER_MS;
  unsigned long long at = 0;
  printf("{\"event\":\"ready\"}\n");
  fflush(stdout);
  if (scanf("go %llu", &at) != 1) fail("expected 'go NANOSECONDS' on standard input");
  return at;
}
