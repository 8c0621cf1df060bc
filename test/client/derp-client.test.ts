// The client with a fake server: the bytes of its login, its events, and unusual behaviour of the server.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { beforeAll, expect, onTestFinished, test } from 'vitest'
import type { ClientEvents } from '#client/client-events.ts'
import { ClientLogin } from '#client/client-login.ts'
import { DerpClient, newKeyPair, type ClientOptions } from '#client/derp-client.ts'
import { fromHex, toHex } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import {
  healthFrame,
  KEEP_ALIVE_FRAME,
  peerGoneFrame,
  peerPresentFrame,
  pingFrame,
  pongFrame,
  recvPacketFrame,
  restartingFrame,
} from '#protocol/frames.ts'
import { frame, serverKeyFrame } from '#protocol/handshake.ts'
import { ipToBytes } from '#protocol/ip-address.ts'
import { keyPairFrom } from '#protocol/node-key.ts'
import { switchingProtocols } from '#protocol/upgrade.ts'
import { makeCertificate, type Certificate } from '../support/certificate.ts'
import { unreadableRecord } from '../support/tls-records.ts'
import { FakeServer, type FakeServerOptions, type FakeServerSession } from './fake-server.ts'
import { temporaryFolder } from './temporary-folder.ts'

const bob = newKeyPair().publicKey
const packet = Buffer.from('hello, derp')
const folder = temporaryFolder()
let certificate: Certificate

beforeAll(async () => {
  certificate = await makeCertificate(folder(), 'localhost')
})

/** Alice's options for a fake server without TLS, and so without fast start. */
function alice(server: FakeServer, options: Partial<ClientOptions> = {}): ClientOptions {
  return { host: '127.0.0.1', port: server.port, tls: false, key: newKeyPair(), ...options }
}

/** A connected client and its session at the fake server. */
async function connected(
  options: Partial<ClientOptions> = {},
  serverOptions: FakeServerOptions = {},
): Promise<{ client: DerpClient; session: FakeServerSession }> {
  const server = await FakeServer.start(serverOptions)
  const client = await DerpClient.connect(alice(server, options))
  client.on('closed', () => void server[Symbol.asyncDispose]())
  return { client, session: await server.nextSession() }
}

const sha256 = (text: string): Uint8Array => new Uint8Array(createHash('sha256').update(text).digest())

test("ClientInfo has the same bytes as a tailscaled's", () => {
  const key = keyPairFrom(sha256('derp-spec/priv/client-a'))
  const server = keyPairFrom(sha256('derp-spec/priv/server'))
  const nonce = fromHex('7c8ea684204ebc83f362bdb3b4b4d7c823a81de8733d10c0') ?? new Uint8Array(0)
  const login = new ClientLogin({ key, isPreferred: true, isWatcher: true }, () => nonce)
  expect(toHex(login.greeting(server.publicKey) ?? new Uint8Array(0))).toBe(
    '0200000068c11e1b11acc6982d13f20e5d03c760f1b30d6d5e40f993c8282e02' +
      '8e0be54e077c8ea684204ebc83f362bdb3b4b4d7c823a81de8733d10c080182b' +
      'c51b67fef722ac1db9c7918afec53d99845f7dfd85670757b51ac1ad51fe06b1' +
      '7ba90d586bc28ade71e9496b84' +
      '070000000101' +
      '1000000000',
  )
})

test('new key pairs are clamped, consistent and different', () => {
  const [one, two] = [newKeyPair(), newKeyPair()]
  expect(one).toEqual(keyPairFrom(one.privateKey))
  expect(one.privateKey).not.toEqual(two.privateKey)
})

test('the login carries the options', async () => {
  const meshKey = sha256('mesh')
  const login = { meshKey, isProber: true, appName: 'probe', canAckPings: false }
  const { client, session } = await connected({ ...login, isPreferred: true, isWatcher: true })
  expect(session.info).toEqual({ version: 2, wantsHomesOnly: false, wantsInstance: false, ...login })
  expect(session.clientKey).toEqual(client.publicKey)
  expect(await session.nextFrame()).toEqual({ type: FrameType.notePreferred, payload: Buffer.from([1]) })
  expect(await session.nextFrame()).toEqual({ type: FrameType.watchConns, payload: Buffer.alloc(0) })
  await client.close()
})

test('with fast start the login is in the same write as the request, and ServerKey is ignored', async () => {
  await using server = await FakeServer.start({ certificate })
  const options = { host: '127.0.0.1', port: server.port, tls: { isInsecure: true }, isPreferred: true }
  await using client = await DerpClient.connect({ ...options, key: newKeyPair() })
  const session = await server.nextSession()
  expect(client.way).toBe('fast-start')
  expect(client.serverKey).toEqual(server.key.publicKey)
  expect(session.firstChunk.subarray(-6)).toEqual(Buffer.from('070000000101', 'hex'))
  session.write(recvPacketFrame(bob, packet))
  expect(await client.next('packet')).toEqual({ source: Buffer.from(bob), packet })
})

test('options that no server would accept throw', () => {
  const target = { host: 'h', key: newKeyPair() }
  expect(() => new DerpClient({ ...target, meshKey: new Uint8Array(31) })).toThrow(
    /^meshKey: expected 32 bytes/,
  )
  expect(() => new DerpClient({ ...target, appName: 'é' })).toThrow(/^appName: expected at most 32 printable/)
  expect(() => new DerpClient({ ...target, host: '' })).toThrow(/^host:/)
})

test('frames become events in order', async () => {
  const { client, session } = await connected()
  const events: [keyof ClientEvents, unknown][] = []
  const names = ['packet', 'peerGone', 'peerPresent', 'health', 'restarting', 'pong', 'keepAlive'] as const
  for (const name of names) client.on(name, (value) => events.push([name, value]))
  const presence = { key: bob, ip: ipToBytes('192.0.2.7'), port: 4711, flags: 5, appName: 'app' }
  session.write(
    recvPacketFrame(bob, packet),
    recvPacketFrame(bob, new Uint8Array(0)),
    peerGoneFrame(bob, 1),
    frame(FrameType.peerGone, bob),
    peerPresentFrame(presence),
    healthFrame('clock is wrong'),
    restartingFrame(10, 20),
    pongFrame(new Uint8Array(8)),
    frame(0x77 as FrameType, packet),
    serverKeyFrame(bob),
    KEEP_ALIVE_FRAME,
  )
  await client.next('keepAlive')
  const source = Buffer.from(bob)
  expect(events).toEqual([
    ['packet', { source, packet }],
    ['packet', { source, packet: Buffer.alloc(0) }],
    ['peerGone', { key: bob, reason: 1 }],
    ['peerGone', { key: bob, reason: 0 }],
    ['peerPresent', presence],
    ['health', 'clock is wrong'],
    ['restarting', { reconnectInMs: 10, tryForMs: 20 }],
    ['pong', { bytes: new Uint8Array(8), roundTripMs: undefined }],
    ['keepAlive', undefined],
  ])
  await client.close()
})

test('frames that are too short for their type are ignored', async () => {
  const { client, session } = await connected()
  const names = ['packet', 'peerGone', 'peerPresent', 'restarting', 'pong'] as const
  const events: string[] = []
  for (const name of names) client.on(name, () => events.push(name))
  const types = [FrameType.recvPacket, FrameType.peerGone, FrameType.peerPresent, FrameType.restarting]
  session.write(
    ...types.map((type) => frame(type, new Uint8Array(7))),
    frame(FrameType.pong, new Uint8Array(7)),
  )
  session.write(frame(FrameType.ping, new Uint8Array(7)), KEEP_ALIVE_FRAME)
  await client.next('keepAlive')
  expect(events).toEqual([])
  await client.close()
})

test('event values are copies', async () => {
  const { client, session } = await connected()
  const first = client.next('packet')
  session.write(recvPacketFrame(bob, packet))
  const kept = await first
  const gone = client.next('peerGone')
  session.write(peerGoneFrame(bob, 0))
  const { key } = await gone
  session.write(recvPacketFrame(new Uint8Array(32), Buffer.alloc(60_000)))
  await client.next('packet')
  expect([kept.packet, kept.source, key]).toEqual([packet, Buffer.from(bob), bob])
  await client.close()
})

test('a listener gets packets that arrive together with the admission', async () => {
  await using server = await FakeServer.start({
    onLogin: (session) => {
      session.socket.cork()
      session.admit()
      session.write(recvPacketFrame(bob, packet))
      session.socket.uncork()
    },
  })
  const packets: string[] = []
  const listeners = { packet: (received: { packet: Buffer }) => packets.push(received.packet.toString()) }
  await using client = await DerpClient.connect(alice(server), listeners)
  if (packets.length === 0) await client.next('packet')
  expect(packets).toEqual(['hello, derp'])
})

test('every kind of frame that a client sends', async () => {
  const { client, session } = await connected()
  const carol = newKeyPair().publicKey
  client.send(bob, packet)
  client.send(bob, Buffer.alloc(65_536, 1))
  client.notePreferred(true)
  client.notePreferred(false)
  client.watch()
  client.forwardPacket(bob, carol, packet)
  client.closePeer(bob)
  const expected = [
    [FrameType.sendPacket, [bob, packet]],
    [FrameType.sendPacket, [bob, Buffer.alloc(65_536, 1)]],
    [FrameType.notePreferred, [Buffer.from([1])]],
    [FrameType.notePreferred, [Buffer.from([0])]],
    [FrameType.watchConns, []],
    [FrameType.forwardPacket, [bob, carol, packet]],
    [FrameType.closePeer, [bob]],
  ] as const
  for (const [type, parts] of expected) {
    expect(await session.nextFrame()).toEqual({ type, payload: Buffer.concat(parts) })
  }
  expect(() => client.send(bob, Buffer.alloc(65_537))).toThrow(
    /^packet: expected at most 65536 bytes, got 65537$/,
  )
  expect(() => client.send(bob.subarray(1), packet)).toThrow(/^destination: expected 32 bytes, got 31$/)
  await client.close()
  expect(client.send(bob, packet)).toBe(false)
})

test('a ping resolves to the round trip, and rejects without a pong in time', async () => {
  const { client, session } = await connected()
  const answered = client.ping()
  const ping = await session.nextFrame()
  expect([ping.type, ping.payload.length]).toEqual([FrameType.ping, 8])
  const pong = client.next('pong')
  session.write(pongFrame(new Uint8Array(ping.payload)))
  const roundTripMs = await answered
  expect(roundTripMs).toBeGreaterThan(0)
  expect(await pong).toEqual({ bytes: new Uint8Array(ping.payload), roundTripMs })
  await expect(client.ping(20)).rejects.toThrow('no pong within 20 ms')
  const unanswered = client.ping(60_000)
  await client.close()
  await expect(unanswered).rejects.toThrow('not connected (closed): closed by this side')
  await expect(client.ping()).rejects.toThrow('not connected')
})

test.each([true, false])('pings are answered only with canAckPings: %s', async (canAckPings) => {
  const { client, session } = await connected({ canAckPings })
  session.write(pingFrame(Buffer.from('12345678and more')), KEEP_ALIVE_FRAME)
  await client.next('keepAlive')
  client.notePreferred(true)
  const expected = { type: FrameType.pong, payload: Buffer.from('12345678') }
  const next = { type: FrameType.notePreferred, payload: Buffer.from([1]) }
  expect(await session.nextFrame()).toEqual(canAckPings ? expected : next)
  await client.close()
})

test('a login that fails gives the reason', async () => {
  const cases: [FakeServerOptions, string | RegExp][] = [
    [{ onLogin: (session) => session.socket.end() }, 'not admitted: the server closed the connection'],
    [{ onLogin: () => undefined }, 'not admitted within 80 ms'],
    [
      { onLogin: (session) => session.write(frame(FrameType.serverInfo, new Uint8Array(60))) },
      'the box of ServerInfo does not open or is not ServerInfo',
    ],
    [
      { onRequest: (session) => session.write(switchingProtocols(bob), KEEP_ALIVE_FRAME) },
      'expected ServerKey first, got a frame of type 6',
    ],
    [
      {
        onRequest: (session) =>
          session.write(switchingProtocols(bob), frame(FrameType.serverKey, new Uint8Array(40))),
      },
      'expected ServerKey first, got a frame of type 1',
    ],
    [
      { onRequest: (session) => session.write(switchingProtocols(bob), serverKeyFrame(new Uint8Array(32))) },
      'no box can be made for the key in ServerKey',
    ],
  ]
  for (const [serverOptions, message] of cases) {
    await using server = await FakeServer.start(serverOptions)
    const client = new DerpClient(alice(server, { connectTimeoutMs: 80 }))
    const closed = client.next('closed')
    await expect(client.connect()).rejects.toMatchObject({ stage: 'login', message })
    await expect(closed).rejects.toThrow()
  }
})

test('nothing is sent before the admission', async () => {
  const { promise: isReady, resolve: ready } = Promise.withResolvers<FakeServerSession>()
  await using server = await FakeServer.start({ onLogin: ready })
  await using client = new DerpClient(alice(server))
  const connecting = client.connect()
  const session = await isReady
  expect([client.send(bob, packet), client.notePreferred(true), client.isConnected]).toEqual([
    false,
    false,
    false,
  ])
  await expect(client.drained()).rejects.toThrow('not connected')
  session.admit()
  await connecting
  client.send(bob, Buffer.from('after'))
  expect((await session.nextFrame()).payload.subarray(32).toString()).toBe('after')
})

test('send returns false when the queue is full, and drained resolves when there is room', async () => {
  const { client, session } = await connected()
  session.socket.pause()
  let sent = 1
  while (client.send(bob, Buffer.alloc(65_000))) sent++
  const drained = client.drained()
  expect(client.connection.waitingBytes).toBeGreaterThan(0)
  session.socket.resume()
  await drained
  expect(client.send(bob, packet)).toBe(true)
  for (let i = 0; i < sent; i++) expect((await session.nextFrame()).payload.length).toBe(65_032)
  expect((await session.nextFrame()).payload.subarray(32)).toEqual(packet)
  await client.close()
})

test('drained rejects when the connection ends', async () => {
  const { client, session } = await connected()
  session.socket.pause()
  while (client.send(bob, Buffer.alloc(65_000)));
  const drained = client.drained()
  client.connection.destroy()
  await expect(drained).rejects.toThrow('cut by this side')
})

test('an unreadable TLS record ends the connection', { timeout: 5_000 }, async () => {
  await using server = await FakeServer.start({ certificate })
  const proxy = createServer((near) => {
    const far = connect(server.port, '127.0.0.1')
    for (const socket of [near, far]) socket.on('error', () => undefined)
    near.pipe(far).pipe(near)
    proxied.push(near)
  })
  const proxied: Socket[] = []
  onTestFinished(() => void proxy.close())
  await once(proxy.listen(0, '127.0.0.1'), 'listening')
  const { port } = proxy.address() as AddressInfo
  const client = await DerpClient.connect({
    host: '127.0.0.1',
    port,
    key: newKeyPair(),
    tls: { isInsecure: true },
  })
  const closed = new Promise((resolve) => void client.on('closed', resolve))
  // From here on the server can't end the connection.
  proxied[0]?.unpipe()
  proxied[0]?.write(unreadableRecord())
  await closed
})

test('the client applies the limit in ServerInfo', async () => {
  const nonce = new Uint8Array(24)
  const limits = { version: 2, TokenBucketBytesPerSecond: 1, TokenBucketBytesBurst: 200 }
  const onLogin = (session: FakeServerSession): void => {
    const box = session.box?.seal(nonce, Buffer.from(JSON.stringify(limits)))
    session.write(frame(FrameType.serverInfo, box ?? new Uint8Array(0)))
  }
  const { client, session } = await connected({}, { onLogin })
  // Each costs 5 + 32 + 63 = 100 bytes.
  const results = [1, 2, 3].map((byte) => client.send(bob, Buffer.alloc(63, byte)))
  client.notePreferred(true)
  const arrived = [await session.nextFrame(), await session.nextFrame(), await session.nextFrame()]
  expect(arrived.map(({ type, payload }) => [type, payload.at(-1)])).toEqual([
    [FrameType.sendPacket, 1],
    [FrameType.sendPacket, 2],
    [FrameType.notePreferred, 1],
  ])
  expect(results).toEqual([true, true, true])
  expect(client.packetsLimited).toBe(1)
  await client.close()
})
