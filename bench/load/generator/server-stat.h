// What a server has used so far, from /proc.
#ifndef SERVER_STAT_H
#define SERVER_STAT_H

#include <stdint.h>

typedef struct {
  // User and system time of all its threads, to 10 ms.
  double cpu_s;
  // Resident memory and, of it, what is its own (neither a file's nor shared).
  uint64_t rss_kb, anonymous_kb;
} ServerStat;

// All zero without a process (pid 0) or when it is gone.
ServerStat server_stat(int pid);

#endif
