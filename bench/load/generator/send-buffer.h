// Sending. A batch is the frames that share one TLS record (several records above 16 KiB). Batches are sealed one after
// the other into a buffer that all connections share, and leave with one write. The connection keeps the bytes that the
// socket did not accept; it is then blocked, and has to be left alone, until all of them are sent.
#ifndef SEND_BUFFER_H
#define SEND_BUFFER_H

#include "network.h"

// Whether a batch of so many plain bytes fits into the next write.
bool send_buffer_has_room(const Network *network, size_t plain);
// Where the plain bytes of the next batch are to be written.
uint8_t *batch_begin(Network *network, size_t plain);
// Seals the batch for the connection.
void batch_seal(Network *network, Connection *connection, size_t plain);
// Writes all batches since the last write.
void send_buffer_write(Network *network, Connection *connection);
// Writes pending bytes of a blocked connection.
void pending_write(Network *network, Connection *connection);

#endif
