// See network.h.
#include "network.h"

#include <string.h>

#include "memory.h"

// OpenSSL gives out traffic secrets only through its key log. They are all that is needed to seal and open records
// without it.
static void store_secret(const SSL *ssl, const char *line) {
  Connection *connection = SSL_get_app_data(ssl);
  uint8_t *into = NULL;
  if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0)
    into = connection->secret_out;
  else if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0)
    into = connection->secret_in;
  else
    return;
  const char *hex = strrchr(line, ' ') + 1;
  for (int i = 0; i < 32; i++) {
    char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
    into[i] = (uint8_t)strtoul(digits, NULL, 16);
  }
}

static SSL_CTX *tls_settings(void) {
  SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
  if (tls == NULL || SSL_CTX_set_min_proto_version(tls, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256") != 1 || SSL_CTX_set1_groups_list(tls, "X25519") != 1)
    fail("OpenSSL refuses TLS 1.3 with AES-128-GCM and X25519");
  // A benchmark does not depend on the certificate's identity.
  SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
  SSL_CTX_set_quiet_shutdown(tls, 1);
  SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_keylog_callback(tls, store_secret);
  return tls;
}

void network_start(Network *network, bool uses_tls) {
  network->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (uses_tls) network->tls = tls_settings();
  // A read is appended to what remained of the one before: at most one record, at most one frame.
  network->cipher = allocate(READ_MAX + 2 * RECORD_MAX);
  network->plain = allocate(READ_MAX + 2 * RECORD_MAX + FRAME_MAX);
  network->send.bytes = allocate(SEND_BYTES_MAX);
  network->send.batch_ends = allocate(SEND_BATCHES_MAX * sizeof(uint32_t));
  network->send.long_batch = allocate(FRAME_MAX);
}

void network_watch(Network *network, Connection *connection, uint32_t interest) {
  if (connection->interest == interest) return;
  connection->interest = interest;
  struct epoll_event event = {.events = interest, .data.ptr = connection};
  epoll_ctl(network->epoll, EPOLL_CTL_MOD, connection->fd, &event);
}
