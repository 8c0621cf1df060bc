// WireGuard's four messages, as far as a relay reads them: their lengths and where their fields lie. Numbers are
// little-endian. What is inside is noise.ts's, and for other peers' messages nobody's here.
//
//   1 initiation  type 4, sender 4, ephemeral 32, static 48, timestamp 28, mac1 16, mac2 16     148 bytes
//   2 response    type 4, sender 4, receiver 4, ephemeral 32, empty 16, mac1 16, mac2 16         92 bytes
//   3 cookie      type 4, receiver 4, nonce 24, cookie 32                                        64 bytes
//   4 transport   type 4, receiver 4, counter 8, packet and tag                             from 32 bytes

import { readWord } from '#protocol/bytes.ts'

export const MessageType = { initiation: 1, response: 2, cookie: 3, transport: 4 } as const
export type MessageType = (typeof MessageType)[keyof typeof MessageType]

export const INITIATION_BYTES = 148
export const RESPONSE_BYTES = 92
export const COOKIE_BYTES = 64
/** Of a transport message without a packet. */
export const KEEPALIVE_BYTES = 32

export const SENDER_AT = 4
/** Of initiations. */
export const INITIATION_MAC1_AT = 116
export const INITIATION_MAC2_AT = 132
/** Of responses. */
export const RESPONSE_RECEIVER_AT = 8
export const RESPONSE_MAC1_AT = 60
/** Of cookies and transport messages. */
export const RECEIVER_AT = 4

/** The message's type; undefined for anything that no WireGuard sends. */
export function messageType(bytes: Uint8Array): MessageType | undefined {
  const { length } = bytes
  if (length < KEEPALIVE_BYTES) return undefined
  switch (readWord(bytes, 0)) {
    case MessageType.transport:
      // The packet inside is padded to sixteen bytes, but no more than the tunnel's MTU.
      return MessageType.transport
    case MessageType.initiation:
      return length === INITIATION_BYTES ? MessageType.initiation : undefined
    case MessageType.response:
      return length === RESPONSE_BYTES ? MessageType.response : undefined
    case MessageType.cookie:
      return length === COOKIE_BYTES ? MessageType.cookie : undefined
    default:
      return undefined
  }
}

/** The sender's index of an initiation or a response. */
export function senderIndex(bytes: Uint8Array): number {
  return readWord(bytes, SENDER_AT) >>> 0
}

/** The receiver's index of a message that is no initiation. */
export function receiverIndex(bytes: Uint8Array, type: MessageType): number {
  return readWord(bytes, type === MessageType.response ? RESPONSE_RECEIVER_AT : RECEIVER_AT) >>> 0
}
