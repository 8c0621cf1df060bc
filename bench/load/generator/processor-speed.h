// Scenario: how long the same work takes on this processor, over and over. No server is needed.
#ifndef PROCESSOR_SPEED_H
#define PROCESSOR_SPEED_H

#include "options.h"

// With --rate, so many samples a second, until standard input ends; without, one after another for --secs.
void run_processor_speed(const Options *options);

#endif
