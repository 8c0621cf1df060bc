import { once } from 'node:events'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { BoxSecret } from '#protocol/box.ts'
import { concatBytes } from '#protocol/bytes.ts'
import { sendPacketFrame } from '#protocol/frames.ts'
import { clientInfoFrame } from '#protocol/handshake.ts'
import { LiveRelay } from '../support/live-relay.ts'
import { RawSocket } from '../support/raw-socket.ts'

let relay: LiveRelay
beforeAll(async () => {
  relay = await LiveRelay.start({ certificate: undefined })
})
afterAll(async () => await relay[Symbol.asyncDispose]())

async function open(...protocols: string[]): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${relay.port}/derp`, protocols)
  socket.binaryType = 'arraybuffer'
  await once(socket, 'open')
  return socket
}

async function closeCode(socket: WebSocket): Promise<number> {
  const [event] = (await once(socket, 'close')) as [{ code: number }]
  return event.code
}

function login(): Uint8Array {
  const key = newKeyPair()
  const box = new BoxSecret(key.privateKey).agree(relay.settings.nodeKey.publicKey)
  if (box === undefined) throw new Error('no box')
  return clientInfoFrame(key.publicKey, {}, box, new Uint8Array(24).fill(5))
}

it.each([1, 7, 45, 1_000])(
  'takes a stream in messages of %i bytes, whose borders mean nothing',
  async (size) => {
    const bob = await relay.client()
    const socket = await open('derp')
    const packet = Buffer.alloc(3_000, 7)
    const stream = Buffer.from(concatBytes(login(), sendPacketFrame(bob.publicKey, packet)))
    const arrival = bob.next('packet')
    for (let at = 0; at < stream.length; at += size) socket.send(stream.subarray(at, at + size))
    expect(Buffer.from((await arrival).packet)).toEqual(packet)
    socket.close()
  },
)

it('closes with 1003 on a text message', async () => {
  const socket = await open('derp')
  socket.send('hello')
  expect(await closeCode(socket)).toBe(1003)
})

it('ends a connection that sends a message of more than 32,768 bytes, and no other', async () => {
  const bystander = await relay.client({ way: 'websocket' })
  const socket = await open('derp')
  socket.send(new Uint8Array(32_769))
  // The message is not read to its end, so the close code may be lost on the way.
  expect([1006, 1009]).toContain(await closeCode(socket))
  await bystander.ping()
})

it.each(['Derp, derp2', 'derp2'])('closes with 1008 when the subprotocol is %s', async (protocol) => {
  // The first is spelt otherwise than it should be; of the second none is the token at all.
  const raw = await RawSocket.plain(relay.port)
  raw.send(handshake(`Sec-WebSocket-Protocol: ${protocol}`))
  const received = await raw.ended()
  const [head = ''] = received.toString('latin1').split('\r\n\r\n')
  expect(head).toMatch(/^HTTP\/1\.1 101 /)
  const close = received.subarray(Buffer.byteLength(head, 'latin1') + 4)
  expect([close[0], close.readUInt16BE(2)]).toEqual([0x88, 1008])
})

it('negotiates no extension, echoes the subprotocol and lets in every origin', async () => {
  const raw = await RawSocket.plain(relay.port)
  raw.send(
    handshake(
      'Sec-WebSocket-Protocol: derp',
      'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits',
      'Origin: https://anywhere.example',
    ),
  )
  // The answer's head, and ServerKey in a message of 45 bytes.
  await expect.poll(() => raw.received.includes('DERP\u{1f511}')).toBe(true)
  const head = raw.received.toString('latin1').split('\r\n\r\n')[0] ?? ''
  expect(head).toMatch(/^HTTP\/1\.1 101 /)
  expect(head).toContain('Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
  expect(head).toContain('Sec-WebSocket-Protocol: derp')
  expect(head).not.toMatch(/extensions/i)
  raw.destroy()
})

it('refuses another version of the protocol, naming its own', async () => {
  const raw = await RawSocket.plain(relay.port)
  raw.send(handshake('Sec-WebSocket-Protocol: derp').replace('Version: 13', 'Version: 8'))
  await expect
    .poll(() => raw.received.toString('latin1'))
    .toMatch(/^HTTP\/1\.1 400 [^]*Sec-WebSocket-Version: 13/i)
  raw.destroy()
})

function handshake(...fields: string[]): string {
  return [
    'GET /derp HTTP/1.1',
    'Host: localhost',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...fields,
    '',
    '',
  ].join('\r\n')
}
