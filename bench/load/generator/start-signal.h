// When a run begins, so that several processes can begin together, and with what priority.
#ifndef START_SIGNAL_H
#define START_SIGNAL_H

#include "options.h"

// Waits for 'go NANOSECONDS' if asked to and answers when to begin, on the monotonic clock. With --realtime
// this process runs before others from now on, so that a probe's delays are the server's.
uint64_t start_signal(const Options *options);

#endif
