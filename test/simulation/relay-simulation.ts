// A relay under random use: logins and departures, several logins with one key, readers that take nothing, packets of
// both kinds and all sizes, from clients and from a sibling. After each batch everything comes to rest and is compared
// with the naive model; packets are followed one by one in the ledger.

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
import { Ledger, NOBODY, type Sent } from './ledger.ts'
import { Model, type ModelSession } from './model.ts'
import { Random } from './random.ts'

export interface SimulationOptions {
  readonly seed: number
  readonly threads: number
  readonly packets: number
  readonly peers: number
}

/** A login: in the model, and at the relay. */
interface Party extends ModelSession {
  readonly id: number
  readonly thread: number
  readonly client: MemoryClient
  /** Departures it should have been told of, less those that it has been told of. */
  readonly owedGone: Map<number, number>
  /** What it has heard depends on what reached it while it took nothing: departures are not compared. */
  isVague: boolean
}

/** Packets between two times of rest: enough to fill bursts, too few to fill an outbox that is read. */
const BATCH_PACKETS = 100
/** Two hundred batches until a reader that takes nothing is cut off. */
const BATCH_MS = 10
/** So much that readers which take what they get never lose any, and so little that the others do. */
const OUTBOX_BYTES_MAX = 262_144
/** Frames that arrive in one piece. */
const PIECE_FRAMES_MAX = 8
const SIBLING = 0

export class RelaySimulation {
  /** Outcomes that show whether a run has tried what it is for. */
  readonly tried = {
    unknown: 0,
    duplicates: 0,
    departures: 0,
    cutOff: 0,
    recovered: 0,
    closedPeers: 0,
    deaths: 0,
  }
  readonly relay: TestRelay
  readonly #options: SimulationOptions
  readonly #random: Random
  readonly #model = new Model<Party>()
  readonly #ledger: Ledger
  readonly #keys: readonly Uint8Array[]
  readonly #peerOf = new Map<string, number>()
  readonly #parties: Party[] = []
  readonly #stuck = new Set<Party>()
  readonly #links: FakeLink[] = []
  readonly #mesh: MemoryClient
  /** Who is here, as the sibling has been told. */
  readonly #watched = new Set<number>()
  readonly #piece = Buffer.alloc(PIECE_FRAMES_MAX * 66_000)
  #partyCount = 0

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
    for (let n = 0; n < 0.8 * this.#options.peers; n++) this.#join()
    while (this.#ledger.count < this.#options.packets) this.#batch()
    this.#end()
  }

  // ── one batch ──

  #batch(): void {
    const first = this.#ledger.count
    if (this.#random.chance(0.015)) this.#changeStuck()
    if (this.#random.chance(0.005)) this.#killThread()
    this.#sendSome(BATCH_PACKETS / 2)
    if (this.#random.chance(0.4)) this.#change(first)
    this.#sendSome(BATCH_PACKETS / 2)
    this.relay.settle()
    this.#ledger.expectDelivered(first, (receiver) => this.#takesNothing(receiver))
    this.#expectNews()
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

  /** Some SendPackets of one party, in one piece. */
  #send(frames: number): void {
    const from = this.#someParty()
    let at = 0
    for (let n = 0; n < frames; n++) {
      const to = this.#someDestination()
      const receiver = this.#model.send(from, to)?.id ?? NOBODY
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
      const receiver = this.#model.active(to)?.id ?? NOBODY
      this.#piece.set(this.#keyOf(source), at + HEADER_BYTES)
      this.#piece.set(this.#keyOf(to), at + HEADER_BYTES + KEY_BYTES)
      at = this.#finishFrame(FrameType.forwardPacket, at, 2 * KEY_BYTES, {
        sender: SIBLING,
        source,
        receiver,
      })
    }
    this.#mesh.link.send(this.#piece.subarray(0, at))
  }

  /** Adds header and packet to the frame at `at`; where the next frame goes. */
  #finishFrame(type: number, at: number, keyBytes: number, sent: Sent): number {
    if (sent.receiver === NOBODY) this.tried.unknown++
    const packetAt = at + HEADER_BYTES + keyBytes
    const end = packetAt + this.#ledger.send(sent, this.#random, this.#piece, packetAt)
    this.#piece[at] = type
    this.#piece.writeUInt32BE(end - at - HEADER_BYTES, at + 1)
    return end
  }

  // ── who comes and goes ──

  /** One change in the midst of a batch, when nothing is at rest. */
  #change(first: number): void {
    const kind = this.#random.next()
    if (kind < 0.4 || this.#parties.length < 0.6 * this.#options.peers) this.#join()
    else if (kind < 0.75) this.#leave(this.#someParty(), first)
    else if (kind < 0.98) this.#stir(this.#someParty())
    else this.#closePeer(this.#someParty().key)
  }

  #join(): void {
    const key = this.#random.between(0, this.#options.peers - 1)
    const thread = this.#random.between(0, this.#options.threads - 1)
    if (this.#model.active(key) !== undefined) this.tried.duplicates++
    const client = this.relay.connect(actor(`peer ${key}`), { thread })
    const id = ++this.#partyCount
    const party: Party = { id, thread, key, client, heard: new Set(), owedGone: new Map(), isVague: false }
    client.onFrameReceived = (type, buffer, start, end) => {
      if (type === FrameType.recvPacket) this.#onPacket(party, buffer.subarray(start, end))
      else if (type === FrameType.peerGone) this.#onGone(party, buffer.subarray(start, end))
    }
    client.send(client.clientInfo())
    this.#model.join(party)
    this.#parties.push(party)
    this.#links.push(client.link)
  }

  #leave(party: Party, first: number): void {
    this.#ledger.forgive(first, party.id)
    for (const heir of this.#model.sessionsOf(party.key)) if (this.#stuck.has(heir)) heir.isVague = true
    party.client.link.hangUp(this.#random.chance(0.5) ? EndReason.remoteClosed : EndReason.remoteReset)
    this.#forget(party)
  }

  /** A frame that means little, of one that may not be the active one of its key. */
  #stir(party: Party): void {
    party.client.send(pingFrame(Buffer.alloc(8)))
    this.#model.note(party)
  }

  #closePeer(key: number): void {
    this.relay.settle()
    this.#mesh.send(closePeerFrame(this.#keyOf(key))).settled()
    for (const party of this.#model.sessionsOf(key)) {
      if (party.client.link.ending !== 'close') throw new Error(`session ${party.id} was not closed`)
      // One that takes nothing does not take its end either, until its host gives up.
      party.client.link.hangUp()
      this.#forget(party)
    }
    this.tried.closedPeers++
  }

  /** A thread dies and is replaced; not the sibling's, which is the witness, nor the only one. */
  #killThread(): void {
    if (this.#options.threads === 1) return
    const thread = this.#random.between(0, this.#options.threads - 2)
    for (const party of this.#parties.filter((one) => one.thread === thread)) this.#forget(party)
    this.relay.killThread(thread)
    this.relay.startThread(thread)
    this.relay.settle()
    this.tried.deaths++
  }

  #forget(party: Party): void {
    const told = this.#model.leave(party)
    if (this.#model.active(party.key) === undefined) this.tried.departures++
    for (const { owedGone } of told) change(owedGone, party.key, 1)
    this.#parties.splice(this.#parties.indexOf(party), 1)
    this.#stuck.delete(party)
    this.#ledger.forget(party.id)
  }

  // ── who takes nothing, and time ──

  #changeStuck(): void {
    for (const party of this.#stuck) {
      if (this.#random.chance(0.5)) continue
      party.client.link.isStalled = false
      this.#stuck.delete(party)
      this.tried.recovered++
    }
    this.relay.settle()
    if (this.#stuck.size >= 3) return
    const party = this.#someParty()
    party.client.link.isStalled = true
    this.#stuck.add(party)
  }

  /** Time passes only when everything is at rest; who has been stuck for too long is cut off by then. */
  #passTime(): void {
    this.relay.clock.advance(BATCH_MS)
    for (const { relay } of this.relay.threads) relay.sweep()
    this.relay.settle()
    for (const party of this.#stuck) {
      if (!party.client.isClosed) continue
      this.tried.cutOff++
      this.#forget(party)
    }
    const isAlarming = this.relay.ends.some(({ reason }) => !expectedEnds.has(reason))
    if (isAlarming) throw new Error(`sessions ended: ${this.relay.ends.map(({ reason }) => reason).join()}`)
    this.relay.ends.length = 0
  }

  // ── what is received ──

  #onPacket(party: Party, payload: Buffer): void {
    const source = this.#peerAt(payload)
    if (this.#ledger.receive(party.id, source, payload.subarray(KEY_BYTES))) return
    // It was for a session that has left, and this is its heir.
    if (this.#model.active(source) !== undefined) party.heard.add(source)
  }

  #onGone(party: Party, payload: Buffer): void {
    if (payload[KEY_BYTES] === GoneReason.disconnected) change(party.owedGone, this.#peerAt(payload), -1)
  }

  #onWatched(type: number, payload: Buffer): void {
    if (type === FrameType.peerPresent) this.#watched.add(this.#peerAt(payload))
    const isGone = type === FrameType.peerGone && payload[KEY_BYTES] === GoneReason.disconnected
    if (isGone && !this.#watched.delete(this.#peerAt(payload)))
      throw new Error('a peer left that was not here')
  }

  // ── what must be ──

  /** Everybody who takes what it is sent knows who has left, and the sibling knows who is here. */
  #expectNews(): void {
    for (const party of this.#parties) {
      if (party.owedGone.size === 0 || party.isVague || this.#stuck.has(party)) continue
      const owed = [...party.owedGone].map(([key, times]) => `key ${key}: ${times}`)
      throw new Error(`session ${party.id} is owed departures: ${owed.join()}`)
    }
    const keys = this.#model.keys
    if (keys.length !== this.#watched.size || !keys.every((key) => this.#watched.has(key))) {
      throw new Error(`the sibling knows of ${this.#watched.size} keys, not of these ${keys.length}`)
    }
  }

  #expectBalance(): void {
    const { count, deliveredCount } = this.#ledger
    expectBalance(this.relay, { sent: count, delivered: deliveredCount, unknown: this.tried.unknown })
  }

  /** Who is stuck recovers, everybody leaves, and nothing remains. */
  #end(): void {
    for (const party of this.#stuck) party.client.link.isStalled = false
    this.#stuck.clear()
    this.relay.settle()
    this.#expectNews()
    this.#expectBalance()
    for (const party of this.#parties) party.client.link.hangUp()
    this.relay.settle()
    if (this.#watched.size > 0) throw new Error('the sibling was not told of everybody')
    this.#mesh.link.hangUp()
    this.relay.settle()
    expectNothingLeft(this.relay)
    const written = this.#links.reduce((sum, link) => sum + link.writtenBytes, 0)
    if (written !== this.relay.count('wireBytesOut'))
      throw new Error(`${written} bytes written, other than counted`)
  }

  #takesNothing(receiver: number): boolean {
    const party = this.#parties.find(({ id }) => id === receiver)
    return party === undefined || this.#stuck.has(party)
  }

  #someParty(): Party {
    const party = this.#random.pick(this.#parties)
    if (party === undefined) throw new Error('everybody has left')
    return party
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

/** Adds to what is counted under `key`; zero is not kept. */
function change(counts: Map<number, number>, key: number, by: number): void {
  const count = (counts.get(key) ?? 0) + by
  if (count === 0) counts.delete(key)
  else counts.set(key, count)
}
