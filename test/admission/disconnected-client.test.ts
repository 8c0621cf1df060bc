// The question about a client that disconnects while it waits for admission is aborted, however it connected and ended.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { BoxSecret } from '#protocol/box.ts'
import { concatBytes } from '#protocol/bytes.ts'
import { clientInfoFrame } from '#protocol/handshake.ts'
import { upgradeRequest } from '#protocol/upgrade.ts'
import { checkedBy, LiveRelay } from '../support/live-relay.ts'
import { RawSocket } from '../support/raw-socket.ts'
import { VerifyServer } from '../support/verify-server.ts'

let backend: VerifyServer
const relays: LiveRelay[] = []
beforeAll(async () => {
  backend = await VerifyServer.start()
  backend.delayMs = undefined
  const admission = checkedBy(backend.url)
  relays.push(
    await LiveRelay.start({ admission }),
    await LiveRelay.start({ admission, certificate: undefined }),
  )
})
afterAll(async () => {
  for (const relay of relays) await relay[Symbol.asyncDispose]()
  await backend[Symbol.asyncDispose]()
})

/** Expects an open question to be aborted well before its own limit of five seconds. */
async function expectAborted(disconnect: () => unknown): Promise<void> {
  await expect.poll(() => backend.open, { timeout: 5_000 }).toBe(1)
  await disconnect()
  await expect.poll(() => backend.open, { timeout: 3_500 }).toBe(0)
}

it.each([
  ['fast-start', 0],
  ['upgrade', 0],
  ['websocket', 0],
  ['upgrade', 1],
  ['websocket', 1],
] as const)('%s, relay %i', async (way, at) => {
  const relay = relays[at]
  if (relay === undefined) throw new Error('no relay')
  const client = new DerpClient({ ...relay.target(), key: newKeyPair(), way })
  const attempt = client.connect().catch(() => undefined)
  await expectAborted(async () => await client.close())
  await attempt
})

it.each(['resetAndDestroy', 'end', 'destroy'] as const)('by %s, with frames sent ahead', async (method) => {
  const relay = relays[1]
  if (relay === undefined) throw new Error('no relay')
  const key = newKeyPair()
  const box = new BoxSecret(key.privateKey).agree(relay.settings.nodeKey.publicKey)
  if (box === undefined) throw new Error('no box')
  const socket = await RawSocket.plain(relay.port)
  const login = clientInfoFrame(key.publicKey, {}, box, new Uint8Array(24))
  socket.send(
    concatBytes(
      upgradeRequest('localhost', { isFastStart: true }),
      login,
      Buffer.from('7e0000000101', 'hex'),
    ),
  )
  await expectAborted(() => socket.socket[method]())
  socket.destroy()
})
