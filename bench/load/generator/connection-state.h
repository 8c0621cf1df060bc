// What is kept of one DERP client connection. The functions on it are in connection.h (dial, login, receive) and
// send-buffer.h (send).
#ifndef CONNECTION_STATE_H
#define CONNECTION_STATE_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "login-file.h"
#include "tls-record.h"

// The phases of a connection, in order. A phase is named by what the connection waits for.
typedef enum {
  PHASE_CLOSED,
  PHASE_DIALLING,
  PHASE_HANDSHAKE,
  PHASE_UPGRADE,
  PHASE_SERVER_KEY,
  PHASE_SERVER_INFO,
  PHASE_READY
} Phase;

// Bytes kept from one read to the next: an incomplete record, an incomplete frame.
typedef struct {
  uint8_t *bytes;
  size_t length, capacity;
} Remainder;

// Bytes that a full socket did not accept. The ends of the batches in them tell afterwards which batches were sent.
typedef struct {
  uint8_t *bytes;
  size_t at, end, capacity;
  uint32_t *batch_ends;
  size_t batch_at, batch_count, batch_capacity;
} Pending;

// A server: its address, and the public key that logins for it are sealed for.
typedef struct {
  struct sockaddr_in address;
  uint8_t key[KEY_BYTES];
} Remote;

typedef struct Connection {
  const Remote *remote;
  int fd;
  int index;
  Phase phase;
  // The events that epoll reports.
  uint32_t interest;
  const Login *login;
  // Only during the TLS handshake.
  SSL *ssl;
  RecordKey in, out;
  uint8_t secret_in[32], secret_out[32];
  Remainder cipher, plain;
  Pending pending;
  uint64_t dialled_ns, ready_ns;
  // Set for a slow receiver: events do not read this connection, the scenario calls connection_receive itself.
  bool is_read_by_hand;
  // Belongs to the scenario.
  void *user_data;
} Connection;

static inline bool connection_is_blocked(const Connection *connection) {
  return connection->pending.end > connection->pending.at;
}

// Batches that the kernel has not accepted completely.
static inline size_t connection_unsent_batches(const Connection *connection) {
  return connection_is_blocked(connection) ? connection->pending.batch_count - connection->pending.batch_at : 0;
}

#endif
