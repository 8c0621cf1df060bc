// Scenario: STUN binding requests by a schedule.
#ifndef STUN_REQUESTS_H
#define STUN_REQUESTS_H

#include "options.h"

void run_stun_requests(const Options *options);

#endif
