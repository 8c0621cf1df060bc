// An open-loop DERP load generator: the program. Prints JSON lines on standard output, the last one being the
// result, and a summary for people on standard error.
#include <signal.h>
#include <sys/resource.h>

#include "scenarios.h"

// Every connection is a descriptor; the soft limit is made for programs of another kind.
static void raise_file_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv) {
  Options options = options_read(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  raise_file_limit();
  static void (*const SCENARIOS[])(const Options *) = {run_flow, run_hold, run_storm, run_stun, run_churn};
  SCENARIOS[options.scenario](&options);
  return 0;
}
