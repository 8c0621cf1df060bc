// CPU time and memory of the server process so far.
#ifndef SERVER_STAT_H
#define SERVER_STAT_H

#include <stdint.h>

typedef struct {
  // User and system time of all threads, in steps of 10 ms.
  double cpu_s;
  // Resident memory, and the part of it that is anonymous (neither mapped from a file nor shared).
  uint64_t rss_kb, anonymous_kb;
} ServerStat;

// All zero if pid is 0 or the process has ended.
ServerStat server_stat(int pid);

#endif
