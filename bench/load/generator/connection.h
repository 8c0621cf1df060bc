// One DERP client connection: dial, TLS 1.3, HTTP upgrade, login, then frames in both directions. Never
// blocks. What a scenario makes of it is in its three callbacks; nothing here knows of load.
#ifndef CONNECTION_H
#define CONNECTION_H

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "login-file.h"
#include "tls-record.h"

typedef enum {
  PHASE_CLOSED,
  PHASE_DIALLING,
  PHASE_HANDSHAKE,
  PHASE_HEAD,
  PHASE_KEY,
  PHASE_INFO,
  PHASE_READY
} Phase;

enum { FRAME_SERVER_KEY = 1, FRAME_SERVER_INFO = 3, FRAME_SEND = 4, FRAME_RECV = 5, FRAME_PEER_GONE = 8 };
#define FRAME_HEADER 5
#define KEY_BYTES 32
// Header and key: what a SendPacket or RecvPacket has before its packet.
#define FRAME_HEAD (FRAME_HEADER + KEY_BYTES)

// Bytes kept from one read to the next: an incomplete record, an incomplete frame.
typedef struct {
  uint8_t *bytes;
  size_t length, room;
} Stash;

// What a full socket did not take. Ends of shots are kept to tell what was sent in the end.
typedef struct {
  uint8_t *bytes;
  size_t at, end, room;
  uint32_t *shot_ends;
  size_t shot_at, shot_count, shot_room;
} Pending;

// A server: where it is, and the key that its logins are sealed for.
typedef struct {
  struct sockaddr_in address;
  uint8_t key[KEY_BYTES];
} Remote;

typedef struct Connection {
  const Remote *remote;
  int fd;
  int index;
  Phase phase;
  uint32_t interest;
  const Login *login;
  SSL *ssl;
  RecordKey in, out;
  uint8_t secret_in[32], secret_out[32];
  Stash cipher, plain;
  Pending pending;
  uint64_t dialled_ns, ready_ns;
  // Not read by itself: a slow receiver's, read by hand.
  bool is_slow;
  void *owner;
} Connection;

typedef struct {
  void (*on_ready)(Connection *connection);
  void (*on_frame)(Connection *connection, uint8_t type, const uint8_t *payload, size_t length);
  // `reached` is how far it had come, `why` a few words.
  void (*on_closed)(Connection *connection, Phase reached, const char *why);
} Handler;

typedef struct {
  int epoll;
  SSL_CTX *tls;
  Handler handler;
  // Shared by all connections; each keeps only what is left over.
  uint8_t *cipher, *plain;
  // The shots of the next write: see shot_open.
  uint8_t *shots;
  size_t shots_end;
  uint32_t *shot_ends;
  size_t shot_count;
  uint8_t *shot_plain;
} Network;

// One read of a flooded socket; larger ones leave the second-level cache.
#define READ_MAX (128 * 1024)
// Room for the shots of one write: one connection's share of a turn.
#define SHOTS_BYTES_MAX (256 * 1024)
#define SHOTS_MAX 1024
// The longest frame that a client takes, and the longest shot.
#define FRAME_MAX (1 << 20)

void network_start(Network *network, bool uses_tls);
// HOST:PORT, given by `flag`.
struct sockaddr_in network_address(const char *flag, const char *text);

// Starts or restarts a closed connection.
void connection_dial(Network *network, Connection *connection);
// To be called with what epoll said of it.
void connection_event(Network *network, Connection *connection, uint32_t events);
// Reads at most `most` bytes and hands on whole frames; answers what was read.
size_t connection_receive(Network *network, Connection *connection, size_t most);
// Closes without a word; on_closed is not called.
void connection_close(Connection *connection);

// A shot is what becomes one TLS record (several above 16 KiB). Room for its plain bytes is got with
// shot_open and sealed with shot_close; shots_send makes one write of all shots since the last one. The
// connection must have nothing pending.
uint8_t *shot_open(Network *network, size_t plain);
void shot_close(Network *network, Connection *connection, size_t plain);
bool shots_have_room(const Network *network, size_t plain);
void shots_send(Network *network, Connection *connection);
// Goes on with what is pending.
void connection_flush(Network *network, Connection *connection);
// Tells epoll what is waited for.
void connection_watch(Network *network, Connection *connection, uint32_t interest);

static inline bool connection_is_blocked(const Connection *connection) {
  return connection->pending.end > connection->pending.at;
}
// Shots that are not wholly in the kernel's hands.
static inline size_t connection_unsent_shots(const Connection *connection) {
  return connection_is_blocked(connection) ? connection->pending.shot_count - connection->pending.shot_at : 0;
}

// The header and key of a SendPacket frame.
static inline void frame_head(uint8_t *frame, const uint8_t *key, size_t packet) {
  uint32_t length = (uint32_t)(KEY_BYTES + packet);
  frame[0] = FRAME_SEND;
  frame[1] = (uint8_t)(length >> 24);
  frame[2] = (uint8_t)(length >> 16);
  frame[3] = (uint8_t)(length >> 8);
  frame[4] = (uint8_t)length;
  for (int i = 0; i < KEY_BYTES; i++)
    frame[FRAME_HEADER + i] = key[i];
}

#endif
