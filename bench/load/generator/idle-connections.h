// Scenario: many connections that are mostly idle, and what they cost the server.
#ifndef IDLE_CONNECTIONS_H
#define IDLE_CONNECTIONS_H

#include "options.h"

void run_idle_connections(const Options *options);

#endif
