// One DERP client connection: dial, TLS 1.3, HTTP upgrade, login, then frames in both directions. Never blocks. Reports
// to the scenario through the network's callbacks; knows nothing of load.
#ifndef CONNECTION_H
#define CONNECTION_H

#include "network.h"

// Starts or restarts a closed connection.
void connection_dial(Network *network, Connection *connection);
// Handles the events that epoll reported for the connection.
void connection_event(Network *network, Connection *connection, uint32_t events);
// Reads at most `most` bytes and passes whole frames to the scenario; returns the number of bytes read.
size_t connection_receive(Network *network, Connection *connection, size_t most);
// Closes without notice to the server and without calling on_closed.
void connection_close(Connection *connection);
// The phase in words, for messages and results.
const char *phase_name(Phase phase);

#endif
