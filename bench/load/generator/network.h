// What all connections of a process share: the epoll instance, TLS settings, buffers, and the scenario's callbacks.
#ifndef NETWORK_H
#define NETWORK_H

#include <sys/epoll.h>

#include "connection-state.h"

// The scenario's callbacks.
typedef struct {
  void (*on_ready)(Connection *connection);
  void (*on_frame)(Connection *connection, uint8_t type, const uint8_t *payload, size_t length);
  // `reached` is the phase in which the connection ended, `why` the reason in a few words.
  void (*on_closed)(Connection *connection, Phase reached, const char *why);
} Handler;

// The batches of the next write: see send-buffer.h.
typedef struct {
  uint8_t *bytes;
  size_t end;
  uint32_t *batch_ends;
  size_t batch_count;
  // Plain bytes of a batch that is longer than one record.
  uint8_t *long_batch;
} SendBuffer;

typedef struct {
  int epoll;
  // NULL without TLS.
  SSL_CTX *tls;
  Handler handler;
  // Receive buffers, shared by all connections. A connection keeps only the bytes that remain after a read.
  uint8_t *cipher, *plain;
  SendBuffer send;
} Network;

// Bytes of one read from a socket. Larger reads no longer fit into the second-level cache.
#define READ_MAX (128 * 1024)
// The bytes and batches of one write: one connection's share of a round of the event loop.
#define SEND_BYTES_MAX (256 * 1024)
#define SEND_BATCHES_MAX 1024

void network_start(Network *network, bool uses_tls);
// Sets the events that epoll reports for the connection.
void network_watch(Network *network, Connection *connection, uint32_t interest);

#endif
