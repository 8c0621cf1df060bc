// See tls-record.h. Key derivation is RFC 8446 section 7.1.
#include "tls-record.h"

#include <openssl/hmac.h>
#include <string.h>

// HKDF-Expand-Label with an empty context, for outputs of at most one hash (32 bytes).
static bool expand_label(const uint8_t secret[32], const char *label, uint8_t *out, size_t length) {
  uint8_t info[64], block[32];
  size_t label_length = strlen(label), at = 0;
  info[at++] = 0;
  info[at++] = (uint8_t)length;
  info[at++] = (uint8_t)(6 + label_length);
  memcpy(info + at, "tls13 ", 6);
  memcpy(info + at + 6, label, label_length);
  at += 6 + label_length;
  info[at++] = 0;
  info[at++] = 1;
  unsigned produced = 0;
  if (HMAC(EVP_sha256(), secret, 32, info, at, block, &produced) == NULL || produced < length) return false;
  memcpy(out, block, length);
  return true;
}

static bool derive(RecordKey *key) {
  uint8_t bytes[16];
  key->sequence = 0;
  if (!expand_label(key->secret, "key", bytes, 16) || !expand_label(key->secret, "iv", key->iv, 12)) return false;
  return EVP_CipherInit_ex(key->cipher, EVP_aes_128_gcm(), NULL, bytes, NULL, key->seals ? 1 : 0) == 1;
}

bool record_key_start(RecordKey *key, const uint8_t secret[32], bool seals) {
  if (key->cipher == NULL) key->cipher = EVP_CIPHER_CTX_new();
  if (key->cipher == NULL) return false;
  memcpy(key->secret, secret, 32);
  key->seals = seals;
  return derive(key);
}

bool record_key_update(RecordKey *key) {
  uint8_t next[32];
  if (!expand_label(key->secret, "traffic upd", next, 32)) return false;
  memcpy(key->secret, next, 32);
  return derive(key);
}

void record_key_free(RecordKey *key) {
  EVP_CIPHER_CTX_free(key->cipher);
  key->cipher = NULL;
}

// The nonce is the IV, its last eight bytes XORed with the record's number (RFC 8446 section 5.3).
static bool start_record(RecordKey *key, const uint8_t *header) {
  uint8_t nonce[12];
  memcpy(nonce, key->iv, 12);
  for (int i = 0; i < 8; i++)
    nonce[11 - i] ^= (uint8_t)(key->sequence >> (8 * i));
  key->sequence++;
  int done = 0;
  return EVP_CipherInit_ex(key->cipher, NULL, NULL, NULL, nonce, -1) == 1 &&
         EVP_CipherUpdate(key->cipher, NULL, &done, header, RECORD_HEADER) == 1;
}

size_t record_seal(RecordKey *key, uint8_t *record, size_t plain) {
  size_t length = plain + RECORD_TRAILER;
  record[0] = CONTENT_DATA;
  record[1] = 3;
  record[2] = 3;
  record[3] = (uint8_t)(length >> 8);
  record[4] = (uint8_t)length;
  uint8_t *text = record + RECORD_HEADER;
  text[plain] = CONTENT_DATA;
  int done = 0;
  if (!start_record(key, record)) return 0;
  if (EVP_CipherUpdate(key->cipher, text, &done, text, (int)plain + 1) != 1) return 0;
  if (EVP_CipherFinal_ex(key->cipher, text + done, &done) != 1) return 0;
  if (EVP_CIPHER_CTX_ctrl(key->cipher, EVP_CTRL_GCM_GET_TAG, 16, text + plain + 1) != 1) return 0;
  return RECORD_HEADER + length;
}

int record_open(RecordKey *key, const uint8_t *record, size_t length, uint8_t *out, size_t *plain) {
  if (record[0] != CONTENT_DATA || length < RECORD_HEADER + RECORD_TRAILER) return -1;
  int inner = (int)(length - RECORD_HEADER - 16), done = 0, rest = 0;
  uint8_t tag[16];
  memcpy(tag, record + length - 16, 16);
  if (!start_record(key, record)) return -1;
  if (EVP_CIPHER_CTX_ctrl(key->cipher, EVP_CTRL_GCM_SET_TAG, 16, tag) != 1) return -1;
  if (EVP_CipherUpdate(key->cipher, out, &done, record + RECORD_HEADER, inner) != 1) return -1;
  if (EVP_CipherFinal_ex(key->cipher, out + done, &rest) != 1) return -1;
  // The content type is the last byte before the padding.
  while (inner > 0 && out[inner - 1] == 0)
    inner--;
  if (inner == 0) return -1;
  *plain = (size_t)inner - 1;
  return out[inner - 1];
}
