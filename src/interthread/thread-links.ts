// The other threads of this relay, as one of them sees them. They tell each other who connects and leaves,
// and hand over packets, in frames like the mesh's through shared memory; so a packet can never overtake the
// news of its sender. Threads come and go: each has its neighbours linked and unlinked by who starts them. A
// relay of one thread has no neighbours and pays nothing.
//
// Contract: news is never lost to who listens (what does not fit waits, `presence-queue.ts`); packets that do not fit are
// refused.

import { writeU32 } from '#protocol/bytes.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import { Wakeup, RING_BYTES, RingReader, RingWriter, type RingSink } from './ring.ts'
import { PresenceQueue } from './presence-queue.ts'
import {
  claimFrame,
  closeFrame,
  goneFrame,
  homeFrame,
  ThreadFrameReader,
  PACKET,
  PACKET_FRAME_BYTES_MIN,
  presenceFrame,
  type ThreadEvents,
} from './thread-frames.ts'
import type { Packet } from '#relay/packet.ts'
import type { Peer } from '#relay/peer.ts'

/** Beyond this a crossing is nearly full: what is read on still finds room, in frames of any size. */
const PRESSED_BYTES = RING_BYTES - 262_144
/** And below this there is room again. */
const EASED_BYTES = RING_BYTES / 2
/** A thread that reads nothing for this long is not busy but stuck: nobody waits for it, and packets are dropped. */
const STUCK_MS = 100

/** How a thread reaches another and hears of it. */
export interface ThreadLink {
  readonly thread: number
  /** The other's. */
  readonly wakeup: SharedArrayBuffer
  readonly outgoing: SharedArrayBuffer
  readonly incoming: SharedArrayBuffer
}

/** What a thread of a relay that has several is given at its start. */
export interface ThreadMemory {
  readonly index: number
  /** A count of activity common to all. */
  readonly claims: SharedArrayBuffer
  /** Its own. */
  readonly wakeup: SharedArrayBuffer
  /** To those who were here before; they tell who is connected to them. */
  readonly links: readonly ThreadLink[]
}

/** One neighbour: a crossing each way, and the news that waits for room. */
interface OtherThread {
  readonly thread: number
  readonly writer: RingWriter
  readonly reader: RingReader
  readonly sink: RingSink
  readonly wakeup: Wakeup
  readonly news: PresenceQueue
  isRung: boolean
  /** What was written since it was rung for last can't wait for its next beat. */
  isUrgent: boolean
  /** To be called when there is room again. */
  resting: (() => void)[]
  /** How far it had read when last looked at because of them, and since when. */
  readAt: number
  readAtMs: number
}

export interface ThreadLinksParts {
  /** Who hears; asked for only when a neighbour speaks, since it is itself made with this. */
  readonly listener: () => ThreadEvents
  /** The keys that are connected to this thread; asked for when a neighbour must be told of all. */
  readonly everybody: () => readonly Peer[]
  /** Asks for a call of `flush`, and then of `fallAsleep`, at the end of this turn of the loop. */
  readonly wake: () => void
  /** Monotonic milliseconds. */
  readonly now: () => number
}

export class ThreadLinks {
  readonly index: number
  readonly wakeup: Wakeup
  readonly #claims: Int32Array
  readonly #parts: ThreadLinksParts
  #others: readonly OtherThread[] = []
  readonly #byThread: (OtherThread | undefined)[] = []
  /** Those who have not told yet who is connected to them. */
  readonly #untold = new Set<number>()
  readonly #allTold = Promise.withResolvers<void>()
  #isDraining = false
  #isAwake = false
  #isPolling = false
  /** What is written now comes of a round of beats, and may wait for a neighbour's next one. */
  isInRound = false

  constructor(memory: ThreadMemory, parts: ThreadLinksParts) {
    this.index = memory.index
    this.#parts = parts
    this.wakeup = new Wakeup(memory.wakeup)
    this.#claims = new Int32Array(memory.claims)
    for (const link of memory.links) {
      this.link(link)
      this.#untold.add(link.thread)
    }
    if (this.#untold.size === 0) this.#allTold.resolve()
  }

  /** A relay of one thread. */
  static none(): ThreadLinks {
    const memory = { index: 0, claims: new SharedArrayBuffer(4), wakeup: Wakeup.memory(), links: [] }
    const listener = (): never => {
      throw new Error('a single thread has no neighbours to hear from')
    }
    return new ThreadLinks(memory, { listener, everybody: () => [], wake: () => undefined, now: () => 0 })
  }

  get count(): number {
    return this.#others.length
  }

  /** Settles when those who were here before have told of everybody, or have ended. */
  async allTold(): Promise<void> {
    await this.#allTold.promise
  }

  /** A neighbour has been started. */
  link(link: ThreadLink): void {
    this.#byThread[link.thread] = this.#makeOther(link)
    this.#others = this.#byThread.filter((one) => one !== undefined)
  }

  /**
   * A neighbour has ended; what it had said has been heard. What was written for it is lost: `lost` takes its packets,
   * as `packet` does.
   */
  unlink(thread: number, lost: (buffer: Buffer, start: number, end: number) => void): void {
    const gone = this.#byThread[thread]
    this.#byThread[thread] = undefined
    this.#others = this.#byThread.filter((one) => one !== undefined)
    gone?.writer.reclaim({
      onFrame: (type, buffer, start, end) => {
        if (type === PACKET) lost(buffer, start, end)
      },
    })
    this.#told(thread)
    for (const goOn of gone?.resting ?? []) goOn()
  }

  nextClaim(): number {
    return (Atomics.add(this.#claims, 0, 1) + 1) | 0
  }

  present(presentFrame: Uint8Array, claim: number): void {
    if (this.#others.length > 0) this.#tellAll(presenceFrame(presentFrame, claim))
  }

  /** Tells a neighbour that has been started of everybody who is here. */
  introduceTo(thread: number): void {
    const to = this.#byThread[thread]
    if (to === undefined) return
    to.news.introduce()
    this.#ringSoon(to)
  }

  claim(key: Uint8Array, claim: number): void {
    this.#tellAll(claimFrame(key, claim))
  }

  home(key: Uint8Array, isHome: boolean): void {
    this.#tellAll(homeFrame(key, isHome))
  }

  gone(key: Uint8Array): void {
    this.#tellAll(goneFrame(key))
  }

  closePeer(key: Uint8Array): void {
    this.#tellAll(closeFrame(key))
  }

  /** Hands over a packet. False: no room. */
  sendPacket(thread: number, destinationKey: Uint8Array, sourceKey: Uint8Array, packet: Packet): boolean {
    const to = this.#byThread[thread]
    const frameBytes = PACKET_FRAME_BYTES_MIN + packet.packetBytes
    if (to === undefined || to.news.isWaiting) return false
    const { writer } = to
    const at = writer.reserve(frameBytes)
    if (at < 0) return false
    const { bytes } = writer
    bytes[at] = PACKET
    writeU32(bytes, at + 1, frameBytes - HEADER_BYTES)
    bytes.set(destinationKey, at + HEADER_BYTES)
    bytes.set(sourceKey, at + HEADER_BYTES + KEY_BYTES)
    packet.buffer.copy(bytes, at + PACKET_FRAME_BYTES_MIN, packet.packetAt, packet.end)
    writer.publish()
    this.#ringSoon(to)
    return true
  }

  /** Whether who sends to `thread` had better rest: it does not keep up with what is written for it. */
  isPressed(thread: number): boolean {
    const to = this.#byThread[thread]
    return to !== undefined && to.writer.holdsMoreThan(PRESSED_BYTES) && !this.#isStuck(to)
  }

  /** Calls `goOn` when there is room again at a thread that is pressed, or no hope for any. */
  whenRoom(thread: number, goOn: () => void): void {
    this.#byThread[thread]?.resting.push(goOn)
    this.#parts.wake()
  }

  /** Wakes the neighbours that were written to; once per turn of the loop is enough. */
  flush(): void {
    for (const to of this.#others) {
      if (to.news.isWaiting && to.news.retry()) to.isRung = false
      if (to.resting.length > 0) this.#releaseResting(to)
      if (to.isRung) continue
      to.isRung = true
      to.wakeup.ring(to.isUrgent)
      to.isUrgent = false
    }
  }

  /** Whether news or clients wait for room at a neighbour, so that `flush` must be called again soon. */
  get hasBacklog(): boolean {
    return this.#others.some((to) => to.news.isWaiting || to.resting.length > 0)
  }

  /** Whether what the neighbours have written is being read just now. */
  get isDraining(): boolean {
    return this.#isDraining
  }

  /** Reads all that the neighbours have written. False if there are none, or this is already under way. */
  drain(): boolean {
    if (this.#isDraining || this.#others.length === 0) return false
    this.#isDraining = true
    this.#stayAwake()
    for (const from of this.#others) from.reader.drain(from.sink)
    this.#isDraining = false
    return true
  }

  /** Whether this thread looks into its crossings every millisecond, rung for or not. */
  setPolling(isPolling: boolean): void {
    if (this.#isPolling === isPolling) return
    // Kept while there is no neighbour, too: the next one may come at any time.
    this.#isPolling = isPolling
    if (!isPolling && this.#others.length > 0) this.#stayAwake()
  }

  /** At the end of a turn: neighbours ring from now on. False, if one has written meanwhile: it is to be read. */
  fallAsleep(): boolean {
    if (!this.#isAwake) return true
    this.#isAwake = false
    if (this.#isPolling) this.wakeup.doze()
    else this.wakeup.setAwake(false)
    if (!this.#others.some((from) => from.reader.hasFrames)) return true
    this.#stayAwake()
    return false
  }

  /** Who works is not rung for until the end of its turn, at which it looks by itself. */
  #stayAwake(): void {
    if (this.#isAwake) return
    this.#isAwake = true
    this.wakeup.setAwake(true)
    this.#parts.wake()
  }

  #tellAll(frame: Uint8Array): void {
    for (const to of this.#others) {
      to.news.tell(frame)
      this.#ringSoon(to)
    }
  }

  #ringSoon(to: OtherThread): void {
    if (!this.isInRound) to.isUrgent = true
    if (!to.isRung) return
    to.isRung = false
    this.#parts.wake()
  }

  #releaseResting(to: OtherThread): void {
    if (to.writer.holdsMoreThan(EASED_BYTES) && !this.#isStuck(to)) return
    const { resting } = to
    to.resting = []
    for (const goOn of resting) goOn()
  }

  /** Whether a neighbour whose crossing is filling up has stopped reading. */
  #isStuck(to: OtherThread): boolean {
    const { readAt } = to.writer
    const nowMs = this.#parts.now()
    if (readAt === to.readAt) return nowMs - to.readAtMs > STUCK_MS
    to.readAt = readAt
    to.readAtMs = nowMs
    return false
  }

  #makeOther({ thread, wakeup, outgoing, incoming }: ThreadLink): OtherThread {
    const writer = new RingWriter(outgoing)
    return {
      thread,
      writer,
      reader: new RingReader(incoming),
      sink: new ThreadFrameReader(thread, this.#parts.listener, () => this.#told(thread)),
      wakeup: new Wakeup(wakeup),
      news: new PresenceQueue(writer, this.#parts.everybody),
      isRung: true,
      isUrgent: false,
      resting: [],
      readAt: -1,
      readAtMs: 0,
    }
  }

  #told(thread: number): void {
    if (this.#untold.delete(thread) && this.#untold.size === 0) this.#allTold.resolve()
  }
}
