// The file of ready logins that the TypeScript side writes: who a server is, and for each client its public
// key and the ClientInfo frame sealed for that server. So the generator needs no X25519 and no NaCl box.
//
// "DERPLOG1", server key (32 bytes), then records of 256 bytes: public key (32), frame length (2, big
// endian), frame.
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

// Reads the file or ends the program saying what is wrong with it.
LoginFile login_file_read(const char *path);

static inline uint32_t login_length(const Login *login) {
  return (uint32_t)login->length[0] << 8 | login->length[1];
}

#endif
