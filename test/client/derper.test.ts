// The client with the real derper as its server, by every way: login, packets in both directions, ping, PeerGone, the
// mesh frames, and reconnecting after a restart.

import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DerpClient, newKeyPair, type ClientOptions } from '#client/derp-client.ts'
import { DerpConnection } from '#client/derp-connection.ts'
import type { OpenedWay } from '#client/opening.ts'
import { ReconnectingDerpClient } from '#client/reconnecting-derp-client.ts'
import type { SecureFacts } from '#client/socket-link.ts'
import type { TargetOptions } from '#client/target.ts'
import { FrameType, GoneReason, PresenceFlag } from '#protocol/frame-type.ts'
import { serverKeyFrame } from '#protocol/handshake.ts'
import { ipToText } from '#protocol/ip-address.ts'
import { makeCertificate } from '../support/certificate.ts'
import { foreignPrograms, type ForeignName } from '../support/foreign.ts'
import { freePort } from '../support/process.ts'
import { Derper } from './derper.ts'
import { temporaryFolder } from './temporary-folder.ts'

const versions = ['derper-1.102.5', 'derper-1.104.5'] as const satisfies readonly ForeignName[]
const meshKey = new Uint8Array(randomBytes(32))
const disco = Buffer.concat([Buffer.from('5453f09f92ac', 'hex'), randomBytes(56)])

/** The target of a test, known when the servers run. */
type TargetOf = () => TargetOptions

function connect(target: TargetOptions, login: Partial<ClientOptions> = {}): Promise<DerpClient> {
  return DerpClient.connect({ key: newKeyPair(), ...target, ...login })
}

for (const version of versions) {
  const found = await foreignPrograms(version)
  describe.skipIf('missing' in found)(version, () => declareAll('paths' in found ? found.paths[version] : ''))
}

function declareAll(path: string): void {
  const folder = temporaryFolder()
  let tlsDerper: Derper
  let plainDerper: Derper
  let pin = { certName: '' }

  beforeAll(async () => {
    pin = { certName: `sha256-raw:${(await makeCertificate(folder(), 'localhost')).sha256}` }
    await writeFile(join(folder(), 'psk'), Buffer.from(meshKey).toString('hex'))
    tlsDerper = await Derper.start(path, folder(), 'tls')
    plainDerper = await Derper.start(path, folder(), 'plain')
  })

  afterAll(async () => {
    await tlsDerper[Symbol.asyncDispose]()
    await plainDerper[Symbol.asyncDispose]()
  })

  const overTls = (options: TargetOptions = {}): TargetOptions => {
    const { port } = tlsDerper
    return { host: 'localhost', dialAddress: '127.0.0.1', port, tls: pin, ...options }
  }

  const ways: readonly [string, OpenedWay, TargetOf][] = [
    ['TLS 1.3 with the meta certificate', 'fast-start', () => overTls()],
    ['TLS 1.3 with a 101', 'upgrade', () => overTls({ way: 'upgrade' })],
    ['TLS 1.2', 'upgrade', () => overTls({ tls: { ...pin, maxVersion: 'TLSv1.2' } })],
    ['plaintext', 'upgrade', () => ({ url: `http://127.0.0.1:${plainDerper.port}/derp` })],
    ['WebSocket over TLS', 'websocket', () => overTls({ way: 'websocket' })],
    ['WebSocket', 'websocket', () => ({ url: `ws://127.0.0.1:${plainDerper.port}/derp` })],
  ]
  describe.each(ways)('%s', (_name, way, target) => {
    declarePackets(target, way)
    declareMesh(target)
  })
  declareRaw(overTls)
  declareReconnecting(path, folder)
}

function declarePackets(target: TargetOf, way: OpenedWay): void {
  test('packets of every size pass in both directions, whole and in order', async () => {
    await using alice = await connect(target())
    await using bob = await connect(target(), { isPreferred: true })
    expect([alice.way, bob.way]).toEqual([way, way])
    for (const bytes of [0, 1, 61, 1_420, 32_768, 65_535, 65_536]) {
      const packet = randomBytes(bytes)
      const atBob = bob.next('packet')
      alice.send(bob.publicKey, packet)
      expect(await atBob).toEqual({ source: Buffer.from(alice.publicKey), packet })
      const atAlice = alice.next('packet')
      bob.send(alice.publicKey, packet)
      expect((await atAlice).packet.equals(packet)).toBe(true)
    }
    const received: number[] = []
    bob.on('packet', ({ packet }) => received.push(packet.readUInt32BE(0)))
    const last = bob.next('packet', ({ packet }) => packet.readUInt32BE(0) === 29)
    for (let i = 0; i < 30; i++) alice.send(bob.publicKey, Buffer.from([0, 0, 0, i]))
    await last
    expect(received).toEqual(Array.from({ length: 30 }, (_, i) => i))
  })

  test('pings are answered', async () => {
    await using alice = await connect(target())
    expect(await alice.ping()).toBeGreaterThan(0)
  })

  test('PeerGone for peers that are not here and for peers that leave', async () => {
    await using alice = await connect(target())
    const nobody = newKeyPair().publicKey
    const notHere = alice.next('peerGone')
    alice.send(nobody, disco)
    expect(await notHere).toEqual({ key: nobody, reason: GoneReason.notHere })

    const bob = await connect(target())
    const packet = alice.next('packet')
    bob.send(alice.publicKey, disco)
    await packet
    const left = alice.next('peerGone')
    await bob.close()
    expect(await left).toEqual({ key: bob.publicKey, reason: GoneReason.disconnected })
  })

  test('an invalid frame ends the connection of its sender, not of its receiver', async () => {
    await using alice = await connect(target())
    await using bob = await connect(target())
    const closed = alice.next('closed')
    alice.connection.write(Buffer.from('040000001f', 'hex'))
    expect((await closed).kind).toBe('ended')
    expect(await bob.ping()).toBeGreaterThan(0)
  })
}

function declareMesh(target: TargetOf): void {
  test('with the mesh key: watch, forward, close a peer', async () => {
    const key = newKeyPair()
    await using watcher = new DerpClient({ ...target(), key, meshKey, isWatcher: true, canAckPings: false })
    const itself = watcher.next('peerPresent', ({ flags }) => flags === PresenceFlag.meshPeer)
    await watcher.connect()
    expect((await itself).key).toEqual(watcher.publicKey)
    const arrival = watcher.next('peerPresent')
    const bob = await connect(target())
    expect(await arrival).toMatchObject({ key: bob.publicKey, flags: PresenceFlag.regular })
    expect(ipToText((await arrival).ip)).toBe('127.0.0.1')

    const alice = newKeyPair().publicKey
    const forwarded = bob.next('packet')
    watcher.forwardPacket(alice, bob.publicKey, disco)
    expect(await forwarded).toEqual({ source: Buffer.from(alice), packet: disco })

    const closed = bob.next('closed')
    const gone = watcher.next('peerGone')
    watcher.closePeer(bob.publicKey)
    expect((await closed).kind).toBe('ended')
    expect((await gone).key).toEqual(bob.publicKey)
  })

  test('watch without the mesh key ends the connection', async () => {
    await using alice = await connect(target())
    const closed = alice.next('closed')
    alice.watch()
    expect((await closed).kind).toBe('ended')
  })
}

function declareRaw(overTls: (options?: TargetOptions) => TargetOptions): void {
  test('the raw connection shows the answer, the key and the certificates', async () => {
    const frames: [number, string][] = []
    const { promise: isClosed, resolve: closed } = Promise.withResolvers<void>()
    const { promise: hasFrame, resolve: onFirstFrame } = Promise.withResolvers<void>()
    const secure: SecureFacts[] = []
    const connection = new DerpConnection(overTls({ way: 'upgrade' }), {
      onFrame: (type, buffer, start, end) => {
        frames.push([type, buffer.toString('hex', start, end)])
        onFirstFrame()
      },
      onClosed: () => closed(),
      onSecure: (facts) => secure.push(facts),
    })
    await connection.open()
    await hasFrame
    const key = secure[0]?.metaKey ?? new Uint8Array(0)
    expect(frames).toEqual([
      [FrameType.serverKey, Buffer.from(serverKeyFrame(key).subarray(5)).toString('hex')],
    ])
    expect(secure[0]?.certificates.map(({ subject }) => subject)).toEqual([
      'CN=localhost',
      `CN=derpkey${Buffer.from(key).toString('hex')}`,
    ])
    expect(secure[0]?.certificates[1]?.serialNumber).toBe('02')
    expect(connection.answerHead).toContain(`Derp-Public-Key: ${Buffer.from(key).toString('hex')}\r\n`)
    // derper requires ClientInfo first.
    connection.sendFrame(FrameType.notePreferred, Uint8Array.of(1))
    await isClosed
  })

  test('every way shows the same server key', async () => {
    await using alice = await connect(overTls())
    await using bob = await connect(overTls({ way: 'upgrade' }))
    expect(alice.serverKey).toEqual(bob.serverKey)
  })
}

/** Each test has a server of its own. */
function declareReconnecting(path: string, folder: () => string): void {
  test('a login that derper does not admit fails at stage login', async () => {
    const closedPort = `http://127.0.0.1:${await freePort()}/`
    const admission = ['-verify-client-url', closedPort, '-verify-client-url-fail-open=false']
    await using derper = await Derper.start(path, folder(), 'plain', admission)
    const refused = connect({ url: `http://127.0.0.1:${derper.port}` })
    await expect(refused).rejects.toMatchObject({
      stage: 'login',
      message: 'not admitted: the server closed the connection',
    })
    await using sibling = await connect({ url: `http://127.0.0.1:${derper.port}` }, { meshKey })
    expect(sibling.isConnected).toBe(true)
  })

  test('the client reconnects after derper restarts, and packets pass again', async () => {
    await using derper = await Derper.start(path, folder(), 'plain')
    const target = { url: `http://127.0.0.1:${derper.port}` }
    await using alice = new ReconnectingDerpClient({ ...target, key: newKeyPair() })
    await using bob = new ReconnectingDerpClient({ ...target, key: newKeyPair() })
    const both = (): Promise<unknown> => Promise.all([alice.next('connected'), bob.next('connected')])
    const first = both()
    alice.start()
    bob.start()
    await first
    const lost = Promise.all([alice.next('disconnected'), bob.next('disconnected')])
    const again = both()
    await derper.restart()
    await lost
    await again
    const packet = bob.next('packet')
    expect(alice.send(bob.publicKey, disco)).toBe(true)
    expect((await packet).packet).toEqual(disco)
  })
}
