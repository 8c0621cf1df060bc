// An open-loop load generator for DERP servers: the program. Prints results as JSON lines on standard output, the last
// one being the result of the run, and a summary for people on standard error.
#include <signal.h>
#include <sys/resource.h>

#include "idle-connections.h"
#include "login-churn.h"
#include "moving-clients.h"
#include "options.h"
#include "packet-load.h"
#include "processor-speed.h"
#include "reconnect-storm.h"
#include "stun-requests.h"

// Every connection takes a file descriptor; the default soft limit is too low for thousands of them.
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
  static void (*const SCENARIOS[])(const Options *) = {
      [SCENARIO_PACKET_LOAD] = run_packet_load,         [SCENARIO_IDLE_CONNECTIONS] = run_idle_connections,
      [SCENARIO_RECONNECT_STORM] = run_reconnect_storm, [SCENARIO_STUN_REQUESTS] = run_stun_requests,
      [SCENARIO_LOGIN_CHURN] = run_login_churn,         [SCENARIO_MOVING_CLIENTS] = run_moving_clients,
      [SCENARIO_PROCESSOR_SPEED] = run_processor_speed,
  };
  SCENARIOS[options.scenario](&options);
  return 0;
}
