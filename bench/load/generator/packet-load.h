// Scenario: flows of packets between logged-in clients, by a schedule or as many as the sockets accept.
#ifndef PACKET_LOAD_H
#define PACKET_LOAD_H

#include "options.h"

void run_packet_load(const Options *options);

#endif
