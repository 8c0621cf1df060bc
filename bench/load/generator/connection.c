// The life of a connection, one phase after the other, and the way in, from the socket to whole frames.
#include "connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "memory.h"

static const char REQUEST[] = "GET /derp HTTP/1.1\r\nHost: localhost\r\nUser-Agent: "
                              "derpfleet-bench\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n";

// Connections from one source address: below the 28,232 ports that Linux gives out by default.
#define CONNECTIONS_PER_SOURCE 20000

static void end(Network *network, Connection *connection, const char *why) {
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

// Loopback has 16 million source addresses; one is not enough for 28,000 connections to one port.
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
    fail("no socket for connection %d: %s (raise the limit of open files)", connection->index,
         strerror(errno));
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
  // A refused dial shows as an event, too, so that there is one way to hear of it.
  if (errno != EINPROGRESS && errno != ECONNREFUSED)
    fail("connection %d: %s", connection->index, strerror(errno));
}

static void send_plain(Network *network, Connection *connection, const void *bytes, size_t length) {
  memcpy(shot_open(network, length), bytes, length);
  shot_close(network, connection, length);
  shots_send(network, connection);
}

static void ask(Network *network, Connection *connection) {
  connection->phase = PHASE_HEAD;
  connection_watch(network, connection, EPOLLIN);
  send_plain(network, connection, REQUEST, sizeof REQUEST - 1);
}

static void shake_hands(Network *network, Connection *connection) {
  int result = SSL_do_handshake(connection->ssl);
  if (result != 1) {
    int error = SSL_get_error(connection->ssl, result);
    if (error == SSL_ERROR_WANT_READ)
      connection_watch(network, connection, EPOLLIN);
    else if (error == SSL_ERROR_WANT_WRITE)
      connection_watch(network, connection, EPOLLIN | EPOLLOUT);
    else
      end(network, connection, "the TLS handshake failed");
    return;
  }
  // OpenSSL reads record by record, so nothing behind the handshake is in its buffers.
  SSL_free(connection->ssl);
  connection->ssl = NULL;
  if (!record_key_start(&connection->in, connection->secret_in, false) ||
      !record_key_start(&connection->out, connection->secret_out, true))
    fail("OpenSSL gave no traffic keys");
  ask(network, connection);
}

static void on_connected(Network *network, Connection *connection) {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error != 0) return end(network, connection, strerror(error));
  if (network->tls == NULL) return ask(network, connection);
  connection->phase = PHASE_HANDSHAKE;
  connection->ssl = SSL_new(network->tls);
  SSL_set_app_data(connection->ssl, connection);
  SSL_set_fd(connection->ssl, connection->fd);
  SSL_set_tlsext_host_name(connection->ssl, "localhost");
  SSL_set_connect_state(connection->ssl);
  shake_hands(network, connection);
}

void connection_event(Network *network, Connection *connection, uint32_t events) {
  if (connection->phase == PHASE_CLOSED) return;
  if (connection->phase == PHASE_DIALLING) return on_connected(network, connection);
  if (connection->phase == PHASE_HANDSHAKE) return shake_hands(network, connection);
  if ((events & EPOLLOUT) != 0) connection_flush(network, connection);
  if (connection->is_slow && connection->phase == PHASE_READY) {
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) end(network, connection, "closed by the server");
    return;
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) connection_receive(network, connection, READ_MAX);
}

static void stash_keep(Stash *stash, const uint8_t *bytes, size_t length) {
  if (stash->room < length) {
    free(stash->bytes);
    stash->bytes = room(length);
    stash->room = length;
  }
  if (length > 0) memcpy(stash->bytes, bytes, length);
  stash->length = length;
}

static size_t take_head(Network *network, Connection *connection, const uint8_t *bytes, size_t length) {
  const uint8_t *head_end = memmem(bytes, length, "\r\n\r\n", 4);
  if (head_end == NULL) return 0;
  if (length < 12 || memcmp(bytes + 8, " 101", 4) != 0) {
    end(network, connection, "the upgrade was not answered with 101");
    return 0;
  }
  connection->phase = PHASE_KEY;
  return (size_t)(head_end - bytes) + 4;
}

static void take_login_frame(Network *network, Connection *connection, const uint8_t *frame, size_t payload) {
  if (connection->phase == PHASE_INFO) {
    // It is sealed for a private key that the generator does not have; its type has to be enough.
    if (frame[0] != FRAME_SERVER_INFO) return;
    connection->phase = PHASE_READY;
    connection->ready_ns = now_ns();
    network->handler.on_ready(connection);
    return;
  }
  if (frame[0] != FRAME_SERVER_KEY || payload < 40) return end(network, connection, "no ServerKey");
  if (memcmp(frame + FRAME_HEADER + 8, connection->remote->key, KEY_BYTES) != 0)
    fail("the server has another key than the login file was made for");
  connection->phase = PHASE_INFO;
  send_plain(network, connection, connection->login->frame, login_length(connection->login));
}

// Hands on whole frames; answers how many bytes they were.
static size_t take_frames(Network *network, Connection *connection, const uint8_t *bytes, size_t length) {
  size_t at = 0;
  if (connection->phase == PHASE_HEAD) {
    at = take_head(network, connection, bytes, length);
    if (connection->phase == PHASE_HEAD) return 0;
  }
  while (length - at >= FRAME_HEADER && connection->phase != PHASE_CLOSED) {
    const uint8_t *frame = bytes + at;
    size_t payload = (size_t)frame[1] << 24 | (size_t)frame[2] << 16 | (size_t)frame[3] << 8 | frame[4];
    if (payload > FRAME_MAX - FRAME_HEADER) {
      end(network, connection, "a frame over 1 MiB");
      break;
    }
    if (length - at < FRAME_HEADER + payload) break;
    if (connection->phase == PHASE_READY)
      network->handler.on_frame(connection, frame[0], frame + FRAME_HEADER, payload);
    else
      take_login_frame(network, connection, frame, payload);
    at += FRAME_HEADER + payload;
  }
  return at;
}

// What is no data: tickets are ignored, a KeyUpdate is followed, an alert ends.
static bool take_control(Connection *connection, int type, const uint8_t *message, size_t length) {
  if (type == CONTENT_HANDSHAKE && length > 0 && message[0] == 24) return record_key_update(&connection->in);
  return type == CONTENT_HANDSHAKE;
}

// Opens the whole records among `length` bytes; answers how many bytes they were, -1 when one is not right.
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
    else if (type < 0 || !take_control(connection, type, network->plain + *plain_end, plain))
      return -1;
  }
  return (ssize_t)at;
}

size_t connection_receive(Network *network, Connection *connection, size_t most) {
  Stash *cipher = &connection->cipher, *plain = &connection->plain;
  size_t plain_end = plain->length, kept = network->tls == NULL ? plain->length : cipher->length;
  uint8_t *into = network->tls == NULL ? network->plain : network->cipher;
  if (plain->length > 0) memcpy(network->plain, plain->bytes, plain->length);
  if (network->tls != NULL && cipher->length > 0) memcpy(network->cipher, cipher->bytes, cipher->length);
  ssize_t got = read(connection->fd, into + kept, most);
  if (got <= 0) {
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    end(network, connection, got == 0 ? "closed by the server" : strerror(errno));
    return 0;
  }
  ssize_t opened = 0;
  if (network->tls == NULL)
    plain_end += (size_t)got;
  else
    opened = open_records(network, connection, kept + (size_t)got, &plain_end);
  bool is_over = opened < 0;
  size_t taken = take_frames(network, connection, network->plain, plain_end);
  if (connection->phase == PHASE_CLOSED) return (size_t)got;
  if (is_over) {
    end(network, connection, "closed by the server's TLS");
    return (size_t)got;
  }
  stash_keep(plain, network->plain + taken, plain_end - taken);
  if (network->tls != NULL) stash_keep(cipher, network->cipher + opened, kept + (size_t)got - (size_t)opened);
  return (size_t)got;
}
