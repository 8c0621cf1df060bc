// The ClientInfo frame of a client, for tests that send bytes themselves.

import { randomBytes } from 'node:crypto'
import { newKeyPair } from '#client/derp-client.ts'
import { BoxSecret } from '#protocol/box.ts'
import { clientInfoFrame, type ClientInfo } from '#protocol/handshake.ts'
import { NONCE_BYTES } from '#protocol/limits.ts'

/** A login to the relay with this key, of a new client unless `key` is given. */
export function loginFrame(
  serverKey: Uint8Array,
  key = newKeyPair(),
  info: Partial<ClientInfo> = {},
): Uint8Array {
  const box = new BoxSecret(key.privateKey).agree(serverKey)
  if (box === undefined) throw new Error('no box can be made for this key')
  return clientInfoFrame(key.publicKey, info, box, randomBytes(NONCE_BYTES))
}
