// See connection.h. Two parts: the phases from dial to login, and the receive path from the socket to whole frames.
#include "connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "fail.h"
#include "memory.h"
#include "send-buffer.h"

static const char REQUEST[] = "GET /derp HTTP/1.1\r\nHost: localhost\r\nUser-Agent: "
                              "derpfleet-bench\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n";

// Connections from one source address: below the 28,232 ephemeral ports that Linux has by default.
#define CONNECTIONS_PER_SOURCE 20000

const char *phase_name(Phase phase) {
  static const char *const NAMES[] = {
      "closed", "dial", "TLS handshake", "HTTP upgrade", "wait for ServerKey", "wait for ServerInfo", "logged in"};
  return NAMES[phase];
}

static void close_with_reason(Network *network, Connection *connection, const char *why) {
  Phase reached = connection->phase;
  connection_close(connection);
  network->handler.on_closed(connection, reached, why);
}

void connection_close(Connection *connection) {
  if (connection->phase == PHASE_CLOSED) return;
  close(connection->fd);
  connection->fd = -1;
  connection->phase = PHASE_CLOSED;
  SSL_free(connection->ssl);
  connection->ssl = NULL;
  record_key_free(&connection->in);
  record_key_free(&connection->out);
  connection->plain.length = connection->cipher.length = 0;
  connection->pending.at = connection->pending.end = 0;
}

// One source address is not enough for more than 28,232 connections to one port; loopback has 16 million addresses.
static void bind_source(const Connection *connection) {
  uint32_t to = ntohl(connection->remote->address.sin_addr.s_addr);
  if (to >> 24 != 127) return;
  int one = 1;
  uint32_t from = 0x7f000101u + (uint32_t)(connection->index / CONNECTIONS_PER_SOURCE);
  struct sockaddr_in source = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(from)};
  setsockopt(connection->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  (void)bind(connection->fd, (struct sockaddr *)&source, sizeof source);
}

void connection_dial(Network *network, Connection *connection) {
  connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (connection->fd < 0)
    fail("connection %d: cannot open a socket: %s (raise the limit of open files)", connection->index, strerror(errno));
  int one = 1;
  setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  bind_source(connection);
  connection->phase = PHASE_DIALLING;
  connection->dialled_ns = now_ns();
  connection->interest = EPOLLIN | EPOLLOUT;
  struct epoll_event event = {.events = connection->interest, .data.ptr = connection};
  epoll_ctl(network->epoll, EPOLL_CTL_ADD, connection->fd, &event);
  const struct sockaddr_in *address = &connection->remote->address;
  if (connect(connection->fd, (const struct sockaddr *)address, sizeof *address) == 0) return;
  // epoll reports a refused dial as an event, too, so that all refusals take one path.
  if (errno != EINPROGRESS && errno != ECONNREFUSED) fail("connection %d: %s", connection->index, strerror(errno));
}

static void send_plain(Network *network, Connection *connection, const void *bytes, size_t length) {
  memcpy(batch_begin(network, length), bytes, length);
  batch_seal(network, connection, length);
  send_buffer_write(network, connection);
}

static void send_upgrade(Network *network, Connection *connection) {
  connection->phase = PHASE_UPGRADE;
  network_watch(network, connection, EPOLLIN);
  send_plain(network, connection, REQUEST, sizeof REQUEST - 1);
}

static void continue_handshake(Network *network, Connection *connection) {
  int result = SSL_do_handshake(connection->ssl);
  if (result != 1) {
    int error = SSL_get_error(connection->ssl, result);
    if (error == SSL_ERROR_WANT_READ)
      network_watch(network, connection, EPOLLIN);
    else if (error == SSL_ERROR_WANT_WRITE)
      network_watch(network, connection, EPOLLIN | EPOLLOUT);
    else
      close_with_reason(network, connection, "TLS handshake failed");
    return;
  }
  // OpenSSL reads record by record, so its buffers hold nothing that follows the handshake.
  SSL_free(connection->ssl);
  connection->ssl = NULL;
  if (!record_key_start(&connection->in, connection->secret_in, false) ||
      !record_key_start(&connection->out, connection->secret_out, true))
    fail("OpenSSL reported no traffic secrets");
  send_upgrade(network, connection);
}

static void on_connected(Network *network, Connection *connection) {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return close_with_reason(network, connection, strerror(error));
  if (network->tls == NULL) return send_upgrade(network, connection);
  connection->phase = PHASE_HANDSHAKE;
  connection->ssl = SSL_new(network->tls);
  SSL_set_app_data(connection->ssl, connection);
  SSL_set_fd(connection->ssl, connection->fd);
  SSL_set_tlsext_host_name(connection->ssl, "localhost");
  SSL_set_connect_state(connection->ssl);
  continue_handshake(network, connection);
}

void connection_event(Network *network, Connection *connection, uint32_t events) {
  if (connection->phase == PHASE_CLOSED) return;
  if (connection->phase == PHASE_DIALLING) return on_connected(network, connection);
  if (connection->phase == PHASE_HANDSHAKE) return continue_handshake(network, connection);
  if ((events & EPOLLOUT) != 0) pending_write(network, connection);
  if (connection->is_read_by_hand && connection->phase == PHASE_READY) {
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
      close_with_reason(network, connection, "closed by the server");
    return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) connection_receive(network, connection, READ_MAX);
}

static void remainder_keep(Remainder *remainder, const uint8_t *bytes, size_t length) {
  if (remainder->capacity < length) {
    free(remainder->bytes);
    remainder->bytes = allocate(length);
    remainder->capacity = length;
  }
  if (length > 0) memcpy(remainder->bytes, bytes, length);
  remainder->length = length;
}

static size_t process_http_head(Network *network, Connection *connection, const uint8_t *bytes, size_t length) {
  const uint8_t *head_end = memmem(bytes, length, "\r\n\r\n", 4);
  if (head_end == NULL) return 0;
  if (length < 12 || memcmp(bytes + 8, " 101", 4) != 0) {
    close_with_reason(network, connection, "HTTP upgrade refused: status is not 101");
    return 0;
  }
  connection->phase = PHASE_SERVER_KEY;
  return (size_t)(head_end - bytes) + 4;
}

static void handle_login_frame(Network *network, Connection *connection, const uint8_t *frame, size_t payload) {
  if (connection->phase == PHASE_SERVER_INFO) {
    // The content is sealed for a private key that the generator does not have: only the type can be checked.
    if (frame[0] != FRAME_SERVER_INFO) return;
    connection->phase = PHASE_READY;
    connection->ready_ns = now_ns();
    network->handler.on_ready(connection);
    return;
  }
  if (frame[0] != FRAME_SERVER_KEY || payload < 40)
    return close_with_reason(network, connection, "first frame is not a valid ServerKey");
  if (memcmp(frame + FRAME_HEADER + 8, connection->remote->key, KEY_BYTES) != 0)
    fail("the server's key differs from the key in the login file");
  connection->phase = PHASE_SERVER_INFO;
  send_plain(network, connection, connection->login->frame, login_length(connection->login));
}

// Passes whole frames to the scenario; returns the number of bytes in them.
static size_t process_frames(Network *network, Connection *connection, const uint8_t *bytes, size_t length) {
  size_t at = 0;
  if (connection->phase == PHASE_UPGRADE) {
    at = process_http_head(network, connection, bytes, length);
    if (connection->phase == PHASE_UPGRADE) return 0;
  }
  while (length - at >= FRAME_HEADER && connection->phase != PHASE_CLOSED) {
    const uint8_t *frame = bytes + at;
    size_t payload = (size_t)frame[1] << 24 | (size_t)frame[2] << 16 | (size_t)frame[3] << 8 | frame[4];
    if (payload > FRAME_MAX - FRAME_HEADER) {
      close_with_reason(network, connection, "frame over 1 MiB");
      break;
    }
    if (length - at < FRAME_HEADER + payload) break;
    if (connection->phase == PHASE_READY)
      network->handler.on_frame(connection, frame[0], frame + FRAME_HEADER, payload);
    else
      handle_login_frame(network, connection, frame, payload);
    at += FRAME_HEADER + payload;
  }
  return at;
}

// Records that are not data: tickets are ignored, a KeyUpdate changes the key, an alert ends the connection.
static bool handle_tls_control(Connection *connection, int type, const uint8_t *message, size_t length) {
  if (type == CONTENT_HANDSHAKE && length > 0 && message[0] == 24) return record_key_update(&connection->in);
  return type == CONTENT_HANDSHAKE;
}

// Opens the whole records in the first `length` bytes; returns the number of bytes in them, -1 if one is invalid.
static ssize_t open_records(Network *network, Connection *connection, size_t length, size_t *plain_end) {
  size_t at = 0;
  while (length - at >= RECORD_HEADER) {
    const uint8_t *record = network->cipher + at;
    size_t whole = RECORD_HEADER + ((size_t)record[3] << 8 | record[4]), plain = 0;
    if (whole > RECORD_MAX) return -1;
    if (length - at < whole) break;
    at += whole;
    if (record[0] == CONTENT_CHANGE_CIPHER) continue;
    int type = record_open(&connection->in, record, whole, network->plain + *plain_end, &plain);
    if (type == CONTENT_DATA)
      *plain_end += plain;
    else if (type < 0 || !handle_tls_control(connection, type, network->plain + *plain_end, plain))
      return -1;
  }
  return (ssize_t)at;
}

size_t connection_receive(Network *network, Connection *connection, size_t most) {
  Remainder *cipher = &connection->cipher, *plain = &connection->plain;
  size_t plain_end = plain->length, remained = network->tls == NULL ? plain->length : cipher->length;
  uint8_t *into = network->tls == NULL ? network->plain : network->cipher;
  if (plain->length > 0) memcpy(network->plain, plain->bytes, plain->length);
  if (network->tls != NULL && cipher->length > 0) memcpy(network->cipher, cipher->bytes, cipher->length);
  ssize_t got = read(connection->fd, into + remained, most);
  if (got <= 0) {
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    close_with_reason(network, connection, got == 0 ? "closed by the server" : strerror(errno));
    return 0;
  }
  ssize_t opened = 0;
  if (network->tls == NULL)
    plain_end += (size_t)got;
  else
    opened = open_records(network, connection, remained + (size_t)got, &plain_end);
  bool is_invalid = opened < 0;
  size_t processed = process_frames(network, connection, network->plain, plain_end);
  if (connection->phase == PHASE_CLOSED) return (size_t)got;
  if (is_invalid) {
    close_with_reason(network, connection, "closed: invalid TLS record or alert");
    return (size_t)got;
  }
  remainder_keep(plain, network->plain + processed, plain_end - processed);
  if (network->tls != NULL) remainder_keep(cipher, network->cipher + opened, remained + (size_t)got - (size_t)opened);
  return (size_t)got;
}
