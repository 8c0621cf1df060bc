// The start of a run: several processes can start at the same time, and a process can ask for real-time priority.
#ifndef START_SIGNAL_H
#define START_SIGNAL_H

#include "options.h"

// Returns the start time on the monotonic clock. With --wait it is read from standard input ('go NANOSECONDS'). With
// --realtime this process has real-time priority from now on, so that a probe measures the server's delays only.
uint64_t start_signal(const Options *options);

#endif
