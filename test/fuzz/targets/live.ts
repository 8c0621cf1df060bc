// Whole parts: the relay over fake links, the client and DNS over real sockets. Any bytes may end their own connection, with
// a known reason, and have no other effect.

import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { DerpConnectError } from '#client/connect-error.ts'
import { DerpClient, SharedResources } from '#client/derp-client.ts'
import { DnsSiblings } from '#fleet/dns-siblings.ts'
import { clientInfoFrame } from '#protocol/handshake.ts'
import { ipToBytes } from '#protocol/ip-address.ts'
import { END_REASONS } from '#relay/end-reason.ts'
import { alice, bob, cathy, sibling } from '../../support/actor.ts'
import { packetLine } from '../../support/memory-client.ts'
import { TestRelay } from '../../support/test-relay.ts'
import { disco, frames, packet } from '../../vectors/frames.ts'
import { meshKey } from '../../vectors/keys.ts'
import * as login from '../../vectors/login.ts'
import { pieces } from '../random.ts'
import { magnitude, invariant, same, texts, type FuzzTarget } from '../target.ts'

const meshInfo = clientInfoFrame(
  sibling.key,
  { meshKey, appName: 'x' },
  sibling.boxWithServer,
  Buffer.alloc(24, 5),
)
const clientFrames = [
  frames.ping,
  frames.sendPacket,
  frames.watchConns,
  frames.forwardPacket,
  disco.sendPacket,
]
const ALL_FRAMES = Buffer.concat([...clientFrames, frames.unknown, frames.notePreferredYes, frames.closePeer])

/** A sibling, which may send every frame, or a remote with a damaged login. */
const relayStream: FuzzTarget = {
  name: 'relay-stream',
  corpus: [
    ALL_FRAMES,
    Buffer.concat([frames.notePreferredYes, frames.pong]),
    Buffer.concat([meshInfo, ALL_FRAMES]),
    login.clientInfo.frame,
  ],
  attempt(input, random) {
    const threads = 1 + random.below(2)
    const relay = new TestRelay({ threads })
    const [b, c] = [relay.join(bob), relay.join(cathy, { thread: threads - 1 })]
    const client = relay.connect(sibling, { thread: threads - 1, isWebSocket: random.chance(4) })
    const stream = random.chance(3) ? input : Buffer.concat([meshInfo, input])
    for (const piece of pieces(stream, random.cuts(stream.length))) {
      client.link.send(piece)
      relay.settle()
    }
    const [end] = relay.ends
    // A sibling may close other sessions, but only by ClosePeer.
    const closed = relay.ends.filter(({ reason }) => reason === 'closed_by_sibling').length
    invariant(
      relay.ends.every(({ reason }) => END_REASONS.includes(reason)),
      'an unknown end reason',
    )
    invariant(relay.ends.length - closed <= 1, `${relay.ends.length} ends`)
    client.hangUp()
    relay.settle()
    if (closed === 0) {
      b.take()
      c.sendPacket(bob, packet)
      same(b.take(), [packetLine(cathy, packet)], 'the packet from cathy to bob')
      same(relay.count('connectionsCurrent'), 2, 'sessions')
    }
    for (const { relay: one } of relay.threads) same(one.lentBytes, 0, 'bytes lent')
    same(relay.count('queuedPackets'), 0, 'packets queued')
    return `${end?.reason} ${closed} ${threads}`
  },
}

let server: Server | undefined
let answer: Buffer = Buffer.alloc(0)
let answerPieces: readonly number[] = []
const shared = new SharedResources()

async function openServer(): Promise<void> {
  server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    // The whole request has arrived and, with fast start, the login.
    socket.once('data', () => {
      for (const piece of pieces(answer, answerPieces)) socket.write(piece)
      socket.end()
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
}

const SERVER_BYTES = Buffer.concat([
  Buffer.from(login.switchingProtocols),
  login.serverKeyFrame,
  login.serverInfo.frame,
  ...Object.values(frames),
])

/** A client of a server that sends any bytes. */
const clientStream: FuzzTarget = {
  name: 'client-stream',
  waits: true,
  corpus: [
    SERVER_BYTES,
    SERVER_BYTES.subarray(login.switchingProtocols.length),
    ...texts('HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\n\r\nno\n'),
  ],
  open: openServer,
  close: async () => void server?.close(),
  async attempt(input, random) {
    answer = input
    answerPieces = random.cuts(input.length)
    const way = random.pick(['upgrade', 'fast-start', 'websocket'] as const)
    const events: string[] = []
    if (server === undefined) throw new Error('not opened')
    const { port } = server.address() as AddressInfo
    const key = { privateKey: alice.privateKey, publicKey: alice.key }
    const target = { host: '127.0.0.1', port, tls: false as const, way, serverKey: undefined, shared }
    const client = new DerpClient({
      ...target,
      ...(way === 'fast-start' ? { serverKey: cathy.key } : {}),
      key,
    })
    const over = new Promise<void>((resolve) => client.on('closed', () => resolve()))
    client.on('packet', () => events.push('packet'))
    client.on('peerGone', () => events.push('gone'))
    client.on('health', () => events.push('health'))
    try {
      await client.connect()
      await over
      return `${way} connected ${events.slice(0, 3).join()}`
    } catch (error) {
      invariant(error instanceof DerpConnectError, `another error than DerpConnectError: ${String(error)}`)
      return `${way} ${error.message.replaceAll(/["'][^]*["']|\d+/g, '_').slice(0, 60)}`
    } finally {
      await client.close()
    }
  },
}

let nameServer: DatagramSocket | undefined
let records: Buffer = Buffer.alloc(0)

async function openNameServer(): Promise<void> {
  nameServer = createSocket('udp4')
  nameServer.on('message', (query, { port, address }) => {
    // With the id of the query, or else the answer would be ignored.
    const reply = Buffer.concat([query.subarray(0, 2), records.subarray(2)])
    nameServer?.send(reply, port, address)
  })
  nameServer.bind(0, '127.0.0.1')
  await once(nameServer, 'listening')
}

function dnsAnswer(type: number, data: Uint8Array): Buffer {
  const question = Buffer.concat([Buffer.from('\x05_derp\x04_tcp\x03lab\0'), Buffer.from([0, type, 0, 1])])
  const head = Buffer.from([0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0])
  const record = Buffer.from([0xc0, 0x0c, 0, type, 0, 1, 0, 0, 0, 1, data.length >>> 8, data.length & 0xff])
  return Buffer.concat([head, question, record, data])
}

/** Siblings in the answers of a name server, which may be forged. */
const dnsSiblings: FuzzTarget = {
  name: 'dns-answer',
  waits: true,
  corpus: [
    dnsAnswer(33, Buffer.concat([Buffer.from([0, 0, 0, 0, 1, 187]), Buffer.from('\x04east\x03lab\0')])),
    dnsAnswer(1, ipToBytes('192.0.2.1').subarray(12)),
  ],
  open: openNameServer,
  close: async () => void nameServer?.close(),
  async attempt(input) {
    // c-ares ignores anything shorter than a header and waits for another answer.
    if (input.length < 12) return 'too short'
    records = Buffer.from(input.subarray(0, 4_000))
    // The flags of a complete answer: otherwise c-ares waits, or asks again by TCP.
    records.writeUInt16BE((records.readUInt16BE(2) & 0x040f) | 0x8180, 2)
    let problem = ''
    const dns = new DnsSiblings({
      names: [{ name: '_derp._tcp.lab', port: 443 }],
      servers: [`127.0.0.1:${nameServer?.address().port}`],
      onChange: () => undefined,
      onProblem: (_name, error) => (problem = error.message),
    })
    const late = Promise.withResolvers<string>()
    const timer = setTimeout(() => late.resolve('late'), 50)
    const isDone = dns.refresh().then(() => 'done')
    // c-ares ignores an invalid answer and keeps waiting.
    const done = await Promise.race([isDone, late.promise])
    clearTimeout(timer)
    invariant(dns.siblings.length <= 256, `${dns.siblings.length} siblings`)
    for (const { host, port } of dns.siblings)
      invariant(host !== undefined && port >= 0 && port < 65_536, `${host}:${port}`)
    return `${done} ${problem.slice(0, 40)} ${magnitude(dns.siblings.length)}`
  },
}

export const LIVE_TARGETS: readonly FuzzTarget[] = [relayStream, clientStream, dnsSiblings]
