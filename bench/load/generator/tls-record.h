// TLS 1.3 records (RFC 8446 section 5) under TLS_AES_128_GCM_SHA256, sealed and opened in place. OpenSSL
// does the handshake only: a generator that offers and receives hundreds of thousands of one-packet records per second
// on one core can afford neither the cost of SSL_write per record nor its copies.
#ifndef TLS_RECORD_H
#define TLS_RECORD_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_HEADER 5
// The inner content type and GCM's tag.
#define RECORD_TRAILER 17
#define RECORD_PLAIN_MAX 16384
// The longest record that a peer may send: header and 2^14 + 256 bytes.
#define RECORD_MAX (RECORD_HEADER + RECORD_PLAIN_MAX + 256)

enum { CONTENT_CHANGE_CIPHER = 20, CONTENT_ALERT = 21, CONTENT_HANDSHAKE = 22, CONTENT_DATA = 23 };

// The traffic key of one direction.
typedef struct {
  EVP_CIPHER_CTX *cipher;
  uint8_t secret[32];
  uint8_t iv[12];
  uint64_t sequence;
  bool seals;
} RecordKey;

// Derives key and IV from a traffic secret (RFC 8446 section 7.3).
bool record_key_start(RecordKey *key, const uint8_t secret[32], bool seals);
// Derives the next generation of the key, after a KeyUpdate.
bool record_key_update(RecordKey *key);
void record_key_free(RecordKey *key);

// Seals the `plain` bytes behind the first RECORD_HEADER bytes of `record`; returns the record's length.
size_t record_seal(RecordKey *key, uint8_t *record, size_t plain);
// Opens a whole record into `out`, which needs room for the record's length without its header. Returns the content
// type and sets `plain` to the length of the content; returns -1 if the record is not authentic.
int record_open(RecordKey *key, const uint8_t *record, size_t length, uint8_t *out, size_t *plain);

#endif
