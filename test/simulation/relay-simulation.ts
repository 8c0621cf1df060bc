// A relay under random load: logins and disconnections, several logins with one key, readers that take nothing, packets
// of both kinds and all sizes, from clients and from a sibling, among tenants that change. After each batch everything
// settles and is compared with the naive model; the ledger checks each packet.

import { rosterOf } from '#admission/tenant-roster.ts'
import { toHex } from '#protocol/bytes.ts'
import { FrameType, GoneReason } from '#protocol/frame-type.ts'
import { closePeerFrame, pingFrame, WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import { EndReason } from '#relay/end-reason.ts'
import { actor, sibling } from '../support/actor.ts'
import type { FakeLink } from '../support/fake-link.ts'
import type { MemoryClient } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { expectBalance, expectNothingLeft } from './accounts.ts'
import { Ledger, NO_RECEIVER, type Sent } from './ledger.ts'
import { Model, type ModelSession } from './model.ts'
import { Random } from './random.ts'
import { changedTenants } from './random-tenants.ts'

export interface SimulationOptions {
  readonly seed: number
  readonly threads: number
  readonly packets: number
  readonly peers: number
  /** Tenants that are kept apart; 0: none are. */
  readonly tenants: number
}

/** A login: in the model, and at the relay. */
interface TestSession extends ModelSession {
  readonly id: number
  readonly thread: number
  readonly client: MemoryClient
  /** By key: PeerGone frames that it should have received, minus those that it has. */
  readonly missingGone: Map<number, number>
  /** What it has sources depends on what reached it while it took nothing: departures are not compared. */
  isUncertain: boolean
}

/** Packets per batch: enough to fill bursts, too few to fill an outbox that is read. */
const BATCH_PACKETS = 100
/** Two hundred batches pass until a reader that takes nothing is ended. */
const BATCH_MS = 10
/** Large enough that readers which take everything lose nothing, small enough that the others do. */
const OUTBOX_BYTES_MAX = 262_144
/** Frames that arrive in one piece. */
const PIECE_FRAMES_MAX = 8
const SIBLING = 0

export class RelaySimulation {
  /** How often a run has met each situation that it is meant to test. */
  readonly covered = {
    unknown: 0,
    foreign: 0,
    moved: 0,
    duplicates: 0,
    departures: 0,
    stalled: 0,
    recovered: 0,
    closedPeers: 0,
    deaths: 0,
  }
  readonly relay: TestRelay
  readonly #options: SimulationOptions
  readonly #random: Random
  readonly #model = new Model<TestSession>()
  readonly #ledger: Ledger
  readonly #keys: readonly Uint8Array[]
  readonly #peerOf = new Map<string, number>()
  readonly #sessions: TestSession[] = []
  readonly #stuck = new Set<TestSession>()
  readonly #links: FakeLink[] = []
  readonly #mesh: MemoryClient
  /** The keys that are here, as the sibling was told. */
  readonly #watched = new Set<number>()
  readonly #piece = Buffer.alloc(PIECE_FRAMES_MAX * 66_000)
  #sessionCount = 0

  constructor(options: SimulationOptions) {
    this.#options = options
    this.#random = new Random(options.seed)
    this.#ledger = new Ledger(options.packets + BATCH_PACKETS)
    // The second half is connected to other relays: the sibling forwards what they send.
    this.#keys = Array.from({ length: 2 * options.peers }, (_, peer) => actor(`peer ${peer}`).key)
    this.#keys.forEach((key, peer) => this.#peerOf.set(toHex(key), peer))
    this.relay = new TestRelay({ threads: options.threads, limits: { outboxBytesMax: OUTBOX_BYTES_MAX } })
    this.#mesh = this.relay.joinSibling(sibling, { thread: options.threads - 1 }).send(WATCH_CONNS_FRAME)
    this.#mesh.take()
    this.#links.push(this.#mesh.link)
    this.#mesh.onFrameReceived = (type, buffer, start, end) =>
      this.#onWatched(type, buffer.subarray(start, end))
  }

  run(): void {
    this.#changeTenants(1)
    for (let n = 0; n < 0.8 * this.#options.peers; n++) this.#join()
    while (this.#ledger.count < this.#options.packets) this.#batch()
    this.#end()
  }

  // ── one batch ──

  #batch(): void {
    const first = this.#ledger.count
    if (this.#random.chance(0.015)) this.#changeStuck()
    if (this.#random.chance(0.005)) this.#killThread()
    if (this.#random.chance(0.02)) this.#changeTenants(0.1)
    this.#sendSome(BATCH_PACKETS / 2)
    if (this.#random.chance(0.4)) this.#change(first)
    this.#sendSome(BATCH_PACKETS / 2)
    this.relay.settle()
    this.#ledger.expectDelivered(first, (receiver) => this.#takesNothing(receiver))
    this.#expectPresence()
    this.#expectBalance()
    this.#passTime()
  }

  #sendSome(count: number): void {
    for (let left = count; left > 0;) {
      const frames = Math.min(left, this.#random.between(1, PIECE_FRAMES_MAX))
      if (this.#random.chance(0.02)) this.#forward(frames)
      else this.#send(frames)
      left -= frames
    }
  }

  /** Some SendPackets of one session, in one piece. */
  #send(frames: number): void {
    const from = this.#someSession()
    let at = 0
    for (let n = 0; n < frames; n++) {
      const to = this.#someDestination()
      const receiver = this.#count(this.#model.send(from, to))
      this.#piece.set(this.#keyOf(to), at + HEADER_BYTES)
      const sent = { sender: from.id, source: from.key, receiver }
      at = this.#finishFrame(FrameType.sendPacket, at, KEY_BYTES, sent)
    }
    from.client.link.send(this.#piece.subarray(0, at))
  }

  /** Some ForwardPackets of the sibling, in one piece. */
  #forward(frames: number): void {
    let at = 0
    for (let n = 0; n < frames; n++) {
      const to = this.#someDestination()
      const source = this.#random.between(this.#options.peers, 2 * this.#options.peers - 1)
      const receiver = this.#count(this.#model.forward(source, to))
      this.#piece.set(this.#keyOf(source), at + HEADER_BYTES)
      this.#piece.set(this.#keyOf(to), at + HEADER_BYTES + KEY_BYTES)
      const sent = { sender: SIBLING, source, receiver }
      at = this.#finishFrame(FrameType.forwardPacket, at, 2 * KEY_BYTES, sent)
    }
    this.#mesh.link.send(this.#piece.subarray(0, at))
  }

  /** Counts a packet that nobody receives. Returns the receiver's number. */
  #count(receiver: TestSession | 'foreign' | 'unknown'): number {
    if (typeof receiver !== 'string') return receiver.id
    this.covered[receiver]++
    return NO_RECEIVER
  }

  /** Adds header and packet to the frame at `at`. Returns where the next frame goes. */
  #finishFrame(type: number, at: number, keyBytes: number, sent: Sent): number {
    const packetAt = at + HEADER_BYTES + keyBytes
    const end = packetAt + this.#ledger.send(sent, this.#random, this.#piece, packetAt)
    this.#piece[at] = type
    this.#piece.writeUInt32BE(end - at - HEADER_BYTES, at + 1)
    return end
  }

  // ── clients connect and disconnect ──

  /** One change within a batch, before anything has settled. */
  #change(first: number): void {
    const kind = this.#random.next()
    if (kind < 0.4 || this.#sessions.length < 0.6 * this.#options.peers) this.#join()
    else if (kind < 0.75) this.#leave(this.#someSession(), first)
    else if (kind < 0.98) this.#ping(this.#someSession())
    else this.#closePeer(this.#someSession().key)
  }

  #join(): void {
    const key = this.#random.between(0, this.#options.peers - 1)
    const thread = this.#random.between(0, this.#options.threads - 1)
    if (this.#model.isCrowded(key)) return
    if (this.#model.active(key) !== undefined) this.covered.duplicates++
    const client = this.relay.connect(actor(`peer ${key}`), { thread })
    const id = ++this.#sessionCount
    const session: TestSession = {
      id,
      thread,
      key,
      client,
      sources: new Set(),
      missingGone: new Map(),
      isUncertain: false,
    }
    client.onFrameReceived = (type, buffer, start, end) => {
      if (type === FrameType.recvPacket) this.#onPacket(session, buffer.subarray(start, end))
      else if (type === FrameType.peerGone) this.#onGone(session, buffer.subarray(start, end))
    }
    client.send(client.clientInfo())
    this.#model.join(session)
    this.#sessions.push(session)
    this.#links.push(client.link)
  }

  #leave(session: TestSession, first: number): void {
    this.#ledger.markUncertain(first, session.id)
    for (const other of this.#model.sessionsOf(session.key))
      if (this.#stuck.has(other)) other.isUncertain = true
    session.client.link.hangUp(this.#random.chance(0.5) ? EndReason.remoteClosed : EndReason.remoteReset)
    this.#forget(session)
  }

  /** A ping of a session that may not be the active one of its key. */
  #ping(session: TestSession): void {
    session.client.send(pingFrame(Buffer.alloc(8)))
    this.#model.note(session)
  }

  #closePeer(key: number): void {
    this.relay.settle()
    this.#mesh.send(closePeerFrame(this.#keyOf(key))).settled()
    for (const session of this.#model.sessionsOf(key)) {
      if (session.client.link.ending !== 'close') throw new Error(`session ${session.id} was not closed`)
      // A client that takes nothing does not notice the end either, until its host gives up.
      session.client.link.hangUp()
      this.#forget(session)
    }
    this.covered.closedPeers++
  }

  /** A thread dies and is replaced. Not the only thread, and not the sibling's, whose presence is compared. */
  #killThread(): void {
    if (this.#options.threads === 1) return
    const thread = this.#random.between(0, this.#options.threads - 2)
    for (const session of this.#sessions.filter((one) => one.thread === thread)) this.#forget(session)
    this.relay.killThread(thread)
    this.relay.startThread(thread)
    this.relay.settle()
    this.covered.deaths++
  }

  /** Keys get other tenants, or none, that share of them. */
  #changeTenants(share: number): void {
    const { tenants: tenantCount } = this.#options
    if (tenantCount === 0) return
    this.relay.settle()
    const wanted = { keyCount: this.#keys.length, tenantCount, share }
    const tenants = changedTenants(this.#model.tenants ?? new Map(), this.#random, wanted)
    for (const [{ missingGone }, key] of this.#model.setTenants(tenants)) {
      change(missingGone, key, 1)
      this.covered.moved++
    }
    this.relay.setTenants(rosterOf([...tenants].map(([key, tenant]) => [this.#keyOf(key), `${tenant}`])))
    this.relay.settle()
  }

  #forget(session: TestSession): void {
    const recipients = this.#model.leave(session)
    if (this.#model.active(session.key) === undefined) this.covered.departures++
    for (const { missingGone } of recipients) change(missingGone, session.key, 1)
    this.#sessions.splice(this.#sessions.indexOf(session), 1)
    this.#stuck.delete(session)
    this.#ledger.forget(session.id)
  }

  // ── stalled readers and time ──

  #changeStuck(): void {
    for (const session of this.#stuck) {
      if (this.#random.chance(0.5)) continue
      session.client.link.isStalled = false
      this.#stuck.delete(session)
      this.covered.recovered++
    }
    this.relay.settle()
    if (this.#stuck.size >= 3) return
    const session = this.#someSession()
    session.client.link.isStalled = true
    this.#stuck.add(session)
  }

  /** Time passes only when everything has settled; sessions that were stuck for too long are ended by then. */
  #passTime(): void {
    this.relay.clock.advance(BATCH_MS)
    for (const { relay } of this.relay.threads) relay.sweep()
    this.relay.settle()
    for (const session of this.#stuck) {
      if (!session.client.isClosed) continue
      this.covered.stalled++
      this.#forget(session)
    }
    const isUnexpected = this.relay.ends.some(({ reason }) => !expectedEnds.has(reason))
    if (isUnexpected) throw new Error(`sessions ended: ${this.relay.ends.map(({ reason }) => reason).join()}`)
    this.relay.ends.length = 0
  }

  // ── what is received ──

  #onPacket(session: TestSession, payload: Buffer): void {
    const source = this.#peerAt(payload)
    if (this.#ledger.receive(session.id, source, payload.subarray(KEY_BYTES))) return
    // The packet was for a session that has left; this one of the same key took over.
    if (this.#model.active(source) !== undefined) session.sources.add(source)
  }

  #onGone(session: TestSession, payload: Buffer): void {
    if (payload[KEY_BYTES] === GoneReason.disconnected) change(session.missingGone, this.#peerAt(payload), -1)
  }

  #onWatched(type: number, payload: Buffer): void {
    if (type === FrameType.peerPresent) this.#watched.add(this.#peerAt(payload))
    const isGone = type === FrameType.peerGone && payload[KEY_BYTES] === GoneReason.disconnected
    if (isGone && !this.#watched.delete(this.#peerAt(payload)))
      throw new Error('a peer left that was not here')
  }

  // ── checks ──

  /** Each session that takes its frames was told which keys have left, and the sibling which are here. */
  #expectPresence(): void {
    for (const session of this.#sessions) {
      if (session.missingGone.size === 0 || session.isUncertain || this.#stuck.has(session)) continue
      const missing = [...session.missingGone].map(([key, times]) => `key ${key}: ${times}`)
      throw new Error(`session ${session.id} misses PeerGone frames: ${missing.join()}`)
    }
    const keys = this.#model.keys
    if (keys.length !== this.#watched.size || !keys.every((key) => this.#watched.has(key))) {
      throw new Error(`the sibling knows of ${this.#watched.size} keys, not of these ${keys.length}`)
    }
  }

  #expectBalance(): void {
    const { count, deliveredCount } = this.#ledger
    const { unknown, foreign } = this.covered
    expectBalance(this.relay, { sent: count, delivered: deliveredCount, unknown, foreign })
  }

  /** Stuck sessions recover, all clients disconnect, and nothing remains. */
  #end(): void {
    for (const session of this.#stuck) session.client.link.isStalled = false
    this.#stuck.clear()
    this.relay.settle()
    this.#expectPresence()
    this.#expectBalance()
    for (const session of this.#sessions) session.client.link.hangUp()
    this.relay.settle()
    if (this.#watched.size > 0) throw new Error('the sibling was not told of all keys')
    this.#mesh.link.hangUp()
    this.relay.settle()
    expectNothingLeft(this.relay)
    const written = this.#links.reduce((sum, link) => sum + link.writtenBytes, 0)
    if (written !== this.relay.count('wireBytesOut'))
      throw new Error(`${written} bytes written, other than counted`)
  }

  #takesNothing(receiver: number): boolean {
    const session = this.#sessions.find(({ id }) => id === receiver)
    return session === undefined || this.#stuck.has(session)
  }

  #someSession(): TestSession {
    const session = this.#random.pick(this.#sessions)
    if (session === undefined) throw new Error('all clients have left')
    return session
  }

  #someDestination(): number {
    if (this.#stuck.size > 0 && this.#random.chance(0.3)) {
      return this.#random.pick([...this.#stuck])?.key ?? 0
    }
    return this.#random.between(0, this.#options.peers - 1)
  }

  #keyOf(peer: number): Uint8Array {
    return this.#keys[peer] ?? new Uint8Array(KEY_BYTES)
  }

  #peerAt(payload: Buffer): number {
    return this.#peerOf.get(payload.toString('hex', 0, KEY_BYTES)) ?? -1
  }
}

const expectedEnds = new Set<string>([
  EndReason.remoteClosed,
  EndReason.remoteReset,
  EndReason.writeStalled,
  EndReason.closedBySibling,
])

/** Adds to the count of `key`; zeros are removed. */
function change(counts: Map<number, number>, key: number, by: number): void {
  const count = (counts.get(key) ?? 0) + by
  if (count === 0) counts.delete(key)
  else counts.set(key, count)
}
