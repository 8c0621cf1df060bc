// Scenario: all clients lose their server at the same time and reconnect at once.
#ifndef RECONNECT_STORM_H
#define RECONNECT_STORM_H

#include "options.h"

void run_reconnect_storm(const Options *options);

#endif
