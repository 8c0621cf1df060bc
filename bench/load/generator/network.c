// What all connections share: TLS settings, buffers.
#include <arpa/inet.h>
#include <string.h>

#include "connection.h"
#include "memory.h"

// OpenSSL tells traffic secrets for key logs only, which is all that is needed to go on without it.
static void take_secret(const SSL *ssl, const char *line) {
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
      SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256") != 1 ||
      SSL_CTX_set1_groups_list(tls, "X25519") != 1)
    fail("OpenSSL refuses TLS 1.3 with AES-128-GCM and X25519");
  // Whose certificate it is matters to nobody here.
  SSL_CTX_set_verify(tls, SSL_VERIFY_NONE, NULL);
  SSL_CTX_set_quiet_shutdown(tls, 1);
  SSL_CTX_set_session_cache_mode(tls, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_keylog_callback(tls, take_secret);
  return tls;
}

struct sockaddr_in network_address(const char *flag, const char *text) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  const char *colon = strrchr(text, ':');
  char host[64] = "";
  if (colon != NULL && (size_t)(colon - text) < sizeof host) memcpy(host, text, (size_t)(colon - text));
  if (colon == NULL || inet_pton(AF_INET, host, &address.sin_addr) != 1)
    fail("%s %s: expected an IPv4 address, a colon and a port", flag, text);
  address.sin_port = htons((uint16_t)atoi(colon + 1));
  return address;
}

void network_start(Network *network, bool uses_tls) {
  network->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (uses_tls) network->tls = tls_settings();
  // Behind what is read stands what was left over: at most one record, at most one frame.
  network->cipher = room(READ_MAX + 2 * RECORD_MAX);
  network->plain = room(READ_MAX + 2 * RECORD_MAX + FRAME_MAX);
  network->shots = room(SHOTS_BYTES_MAX);
  network->shot_ends = room(SHOTS_MAX * sizeof(uint32_t));
  network->shot_plain = room(FRAME_MAX);
}
