// Every size that the DERP wire protocol fixes, each with its reason. Limits of this relay's own
// (queues, time) are settings and live with the code that keeps them.

/** Type and length. */
export const HEADER_BYTES = 5
/** A Curve25519 public key as it is on the wire. */
export const KEY_BYTES = 32
/** The NaCl box's nonce. */
export const NONCE_BYTES = 24
/** Poly1305 tag in front of every box's ciphertext. */
export const BOX_TAG_BYTES = 16
/** Largest relayed packet: clients and derper agree on 64 KiB inclusive. */
export const PACKET_BYTES_MAX = 65_536
/** SendPacket and RecvPacket: one key and the packet. */
export const SEND_PACKET_BYTES_MAX = KEY_BYTES + PACKET_BYTES_MAX
/** ForwardPacket: two keys and the packet. */
export const FORWARD_PACKET_BYTES_MAX = 2 * KEY_BYTES + PACKET_BYTES_MAX
/** ClientInfo at its smallest: key and nonce (a box that short then fails to open). */
export const CLIENT_INFO_BYTES_MIN = KEY_BYTES + NONCE_BYTES
/** ClientInfo at its largest, 256 KiB, as derper reads it. */
export const CLIENT_INFO_BYTES_MAX = 262_144
/** The eight bytes of a ping that are echoed. */
export const PING_BYTES = 8
/** Longest ping that is answered (with its first eight bytes). */
export const PING_BYTES_MAX = 1_000
/** Longest frame of unknown type that is skipped rather than refused (derper 1.104). */
export const UNKNOWN_FRAME_BYTES_MAX = KEY_BYTES + PACKET_BYTES_MAX
/** ServerKey as a client accepts it: magic and key, and room for later additions. */
export const SERVER_KEY_BYTES_MAX = 1_024
/** Any other frame that a client accepts. */
export const CLIENT_FRAME_BYTES_MAX = 1_048_576
/** Application names are 0–32 printable ASCII bytes. */
export const APP_NAME_BYTES_MAX = 32
/** The largest WebSocket message either side may send: browsers' clients refuse more. */
export const WEB_SOCKET_MESSAGE_BYTES_MAX = 32_768
/** The protocol version that is spoken; the peer's is never checked. */
export const PROTOCOL_VERSION = 2
