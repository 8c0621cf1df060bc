// Scenario: clients of a region with two servers exchange packets while one of the servers stops.
#ifndef MOVING_CLIENTS_H
#define MOVING_CLIENTS_H

#include "options.h"

void run_moving_clients(const Options *options);

#endif
