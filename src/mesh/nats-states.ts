// Relays' states over NATS: the layout of a message, which shows that its sender has the fleet's secret. The servers, and
// others that may use them, can read a state and cannot make one. Has no connection.
//
//   derpfleet.state   32 B HMAC-SHA256 of the rest, 32 B key of the relay, JSON as in a relayState frame

import { createHmac, timingSafeEqual } from 'node:crypto'
import { concatBytes } from '#protocol/bytes.ts'
import { KEY_BYTES, RELAY_STATE_BYTES_MAX } from '#protocol/limits.ts'

export const STATE_SUBJECT = 'derpfleet.state'
const MAC_BYTES = 32
/** The secret has another use: the hashes of keys. */
const CONTEXT = 'derpfleet relay state\n'

export interface SealedState {
  readonly key: Uint8Array
  readonly state: Uint8Array
}

export function sealState({ key, state }: SealedState, secret: Uint8Array): Uint8Array {
  const content = concatBytes(key, state)
  return concatBytes(macOf(content, secret), content)
}

/** Undefined for a message that was not made with the secret. */
export function openState(message: Uint8Array, secret: Uint8Array): SealedState | undefined {
  const { length } = message
  if (length < MAC_BYTES + KEY_BYTES || length > MAC_BYTES + KEY_BYTES + RELAY_STATE_BYTES_MAX)
    return undefined
  const content = message.subarray(MAC_BYTES)
  if (!timingSafeEqual(macOf(content, secret), message.subarray(0, MAC_BYTES))) return undefined
  return { key: content.subarray(0, KEY_BYTES), state: content.subarray(KEY_BYTES) }
}

function macOf(content: Uint8Array, secret: Uint8Array): Uint8Array {
  return createHmac('sha256', secret).update(CONTEXT).update(content).digest()
}
