// TLS as clients of a relay see it: versions, ALPN, and the certificates that are presented.

import { once } from 'node:events'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { concatBytes, toHex } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { upgradeRequest } from '#protocol/upgrade.ts'
import { LiveRelay } from '../support/live-relay.ts'
import { loginFrame } from '../support/login-frame.ts'
import { RawSocket } from '../support/raw-socket.ts'

let relay: LiveRelay
beforeAll(async () => {
  relay = await LiveRelay.start()
})
afterAll(async () => await relay[Symbol.asyncDispose]())

it.each([
  ['none', undefined, false],
  ['h2 and http/1.1', ['h2', 'http/1.1'], 'http/1.1'],
] as const)('serves DERP over HTTP/1.1 to a client that offers ALPN %s', async (_name, offer, chosen) => {
  const socket = await RawSocket.tls(relay.port, offer === undefined ? {} : { ALPNProtocols: [...offer] })
  expect((socket.socket as TLSSocket).alpnProtocol).toBe(chosen)
  socket.send(upgradeRequest('localhost', { isFastStart: true }))
  expect((await socket.atLeast(45))[0]).toBe(FrameType.serverKey)
  socket.destroy()
})

it('logs TLS 1.2 clients in through the 101, and refuses TLS 1.1', async () => {
  const socket = await RawSocket.tls(relay.port, { maxVersion: 'TLSv1.2' })
  const login = loginFrame(relay.settings.nodeKey.publicKey)
  socket.send(concatBytes(upgradeRequest('localhost', { isFastStart: false }), login))
  expect((await socket.atLeast(200)).toString('latin1')).toMatch(/^HTTP\/1\.1 101 /)
  socket.destroy()
  const old = connectTls({
    host: '127.0.0.1',
    port: relay.port,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.1',
    maxVersion: 'TLSv1.1',
    ciphers: 'ALL:@SECLEVEL=0',
  })
  await expect(once(old, 'secureConnect')).rejects.toThrow(/alert|protocol/i)
})

it('presents the certificate and then the meta certificate of its own key, serial 2', async () => {
  const socket = await RawSocket.tls(relay.port)
  const leaf = (socket.socket as TLSSocket).getPeerCertificate(true)
  socket.destroy()
  expect(leaf.subject.CN).toBe('localhost')
  // Node takes a self-signed leaf for its own issuer and hides the rest of the chain; the client reads the key from all
  // certificates that are presented.
  const client = await relay.client({ way: 'fast-start' })
  expect(toHex(client.serverKey ?? new Uint8Array(0))).toBe(toHex(relay.settings.nodeKey.publicKey))
})
