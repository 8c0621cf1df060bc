// The only list of DERP frame numbers, with the layout of each payload, so that no number is used twice. The header of
// every frame: type (1 byte), payload length (4 bytes, big-endian). Not the codec: frames.ts and handshake.ts write the
// payloads.

/** Frame types of DERP version 2. C: client, S: server, M: sibling with the mesh key. */
export const FrameType = {
  serverKey: 0x01, //     S→C  8 B magic, 32 B server key
  clientInfo: 0x02, //    C→S  32 B client key, 24 B nonce, box of JSON; first frame only
  serverInfo: 0x03, //    S→C  24 B nonce, box of JSON
  sendPacket: 0x04, //    C→S  32 B destination key, packet
  recvPacket: 0x05, //    S→C  32 B source key, packet
  keepAlive: 0x06, //     S→C  empty
  notePreferred: 0x07, // C→S  1 B, non-zero: this server is the client's home
  peerGone: 0x08, //      S→C, S→M  32 B key, 1 B reason
  peerPresent: 0x09, //   S→M  32 B key, 16 B IP, 2 B port, 1 B flags, 1 B length + app name
  forwardPacket: 0x0a, // M→S  32 B source key, 32 B destination key, packet
  watchConns: 0x10, //    M→S  empty
  closePeer: 0x11, //     M→S  32 B key
  ping: 0x12, //          both 8 B
  pong: 0x13, //          both 8 B, copied from the ping
  health: 0x14, //        S→C  UTF-8 text; empty clears it
  restarting: 0x15, //    S→C  4 B reconnect-in ms, 4 B try-for ms
  relayState: 0xe0, //    M→S, S→M  JSON of fleet/relay-state.ts, fleet/look.ts. Not of DERP: far from its numbers, and passed over by others
} as const
export type FrameType = (typeof FrameType)[keyof typeof FrameType]

/** Why a peer is reported gone. */
export const GoneReason = {
  disconnected: 0x00, // the peer left the region (to watchers: left this server)
  notHere: 0x01, //      the packet's destination is unknown to this server
} as const
export type GoneReason = (typeof GoneReason)[keyof typeof GoneReason]

/** The kind of connection in a PeerPresent; "regular" only if no other bit is set. */
export const PresenceFlag = {
  regular: 0x01,
  meshPeer: 0x02,
  prober: 0x04,
  notIdeal: 0x08,
} as const
export type PresenceFlag = (typeof PresenceFlag)[keyof typeof PresenceFlag]
