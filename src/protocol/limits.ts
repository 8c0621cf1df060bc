// The sizes that the DERP protocol defines, each with its reason. This relay's own limits (queues, times) are in
// relay-limits.ts, or beside the code that applies them.

/** Frame type and payload length. */
export const HEADER_BYTES = 5
/** A Curve25519 public key. */
export const KEY_BYTES = 32
/** The NaCl box's nonce. */
export const NONCE_BYTES = 24
/** The Poly1305 tag before every box's ciphertext. */
export const BOX_TAG_BYTES = 16
/** The largest relayed packet: 64 KiB inclusive, as for clients and derper. */
export const PACKET_BYTES_MAX = 65_536
/** SendPacket and RecvPacket: one key and a packet. */
export const SEND_PACKET_BYTES_MAX = KEY_BYTES + PACKET_BYTES_MAX
/** ForwardPacket: two keys and a packet. */
export const FORWARD_PACKET_BYTES_MAX = 2 * KEY_BYTES + PACKET_BYTES_MAX
/** The shortest ClientInfo: key and nonce. (Such a short box can't be opened.) */
export const CLIENT_INFO_BYTES_MIN = KEY_BYTES + NONCE_BYTES
/** The longest ClientInfo that derper reads: 256 KiB. */
export const CLIENT_INFO_BYTES_MAX = 262_144
/** Bytes of a ping that are echoed. */
export const PING_BYTES = 8
/** The longest ping that is answered (with its first eight bytes). */
export const PING_BYTES_MAX = 1_000
/** The longest frame of unknown type that is skipped, not rejected (derper 1.104). */
export const UNKNOWN_FRAME_BYTES_MAX = KEY_BYTES + PACKET_BYTES_MAX
/**
 * The longest state that a relay tells its siblings: 256 links of 100 bytes, and room for the rest. Below what derper skips
 * of a frame that it does not know.
 */
export const RELAY_STATE_BYTES_MAX = 32_768
/** The longest ServerKey that a client accepts: magic, key, and room for additions. */
export const SERVER_KEY_BYTES_MAX = 1_024
/** The longest other frame that a client accepts. */
export const CLIENT_FRAME_BYTES_MAX = 1_048_576
/** Application names are 0–32 printable ASCII bytes. */
export const APP_NAME_BYTES_MAX = 32
/** The longest WebSocket message that either side may send: clients in browsers reject longer ones. */
export const WEB_SOCKET_MESSAGE_BYTES_MAX = 32_768
/** This program's protocol version; the remote's is never checked. */
export const PROTOCOL_VERSION = 2
