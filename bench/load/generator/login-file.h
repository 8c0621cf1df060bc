// The file of prepared logins that bench/load/login-file.ts writes: the server's public key, and for each client its
// public key and a ClientInfo frame sealed for that server. With it the generator needs neither X25519 nor a NaCl box.
//
// Layout: "DERPLOG1", server key (32 bytes), then records of 256 bytes: public key (32), frame length (2, big endian),
// frame.
#ifndef LOGIN_FILE_H
#define LOGIN_FILE_H

#include <stdint.h>

#define LOGIN_RECORD 256

typedef struct {
  uint8_t key[32];
  uint8_t length[2];
  uint8_t frame[LOGIN_RECORD - 34];
} Login;

typedef struct {
  uint8_t server_key[32];
  Login *logins;
  int count;
} LoginFile;

// Reads the file, or ends the program with an error that says what is wrong with it.
LoginFile login_file_read(const char *path);

static inline uint32_t login_length(const Login *login) { return (uint32_t)login->length[0] << 8 | login->length[1]; }

#endif
