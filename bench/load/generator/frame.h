// DERP frames as far as the generator needs them: a type byte, the payload's length (4 bytes, big endian), the payload.
#ifndef FRAME_H
#define FRAME_H

#include <stddef.h>
#include <stdint.h>

enum { FRAME_SERVER_KEY = 1, FRAME_SERVER_INFO = 3, FRAME_SEND = 4, FRAME_RECV = 5, FRAME_PEER_GONE = 8 };

#define FRAME_HEADER 5
#define KEY_BYTES 32
// What precedes the packet in a SendPacket or RecvPacket frame: header and key.
#define FRAME_HEAD (FRAME_HEADER + KEY_BYTES)
// The longest frame that a client accepts, and the longest batch.
#define FRAME_MAX (1 << 20)

// Writes header and destination key of a SendPacket frame for a packet of `packet` bytes.
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
