// How much more the busiest relay thread can carry. The busy share of its event loop does not tell: a packet that is read,
// written and waited for alone costs several times what it costs on a full thread, so a thread can be busy for 97 % of its time
// with a third of what it can carry. On a full thread, packets share reads, writes and turns, and what is left is nearly the
// same for any number of clients: a cost for each packet and one for each byte. Runs on the control thread.
//
//   full cost = slowness of this machine × (packet cost + byte cost × bytes of a packet) × excess
//
// The two costs are of the reference measurements (docs/decisions/0020). The excess begins at one, and follows what is seen: a
// packet never costs less on a thread than on a full one, and on a full one it costs just that.

import type { Counters, PlainCounter } from '#relay/counters.ts'
import type { LoopTime } from './metrics.ts'

/** TLS 1.3 on both sides, one relay thread, packets of 300 and of 1,420 bytes. */
const PACKET_US = 2.5
const BYTE_US = 0.0041
/** With fewer packets in a look, timers and pages weigh more than packets. */
const PACKETS_MIN = 1_000
/** A login takes as long as fifty packets. A look with more logins than this share of its packets tells nothing of packets. */
const LOGINS_SHARE_MAX = 1 / 1_000
/** A thread is full if it never sleeps, and its packets share turns and writes as on a full one. */
const FULL_IDLE_SHARE_MAX = 0.01
const FULL_TURN_PACKETS_MIN = 100
const FULL_WRITES_PER_PACKET_MAX = 0.15
/** Numbers are means that forget: of looks, one a second, the one of six seconds ago weighs half as much as the last. */
const MEAN_LOOKS = 8

export interface HeadroomNumbers {
  /** What the load leaves of the busiest thread, 0 to 1. */
  readonly ratio: number
  /** What that thread carries, and what it can carry of the present kind. */
  readonly packetsPerSecond: number
  readonly packetsMaxPerSecond: number
  readonly busyShare: number
}

interface Look {
  readonly activeMs: number
  readonly idleMs: number
  readonly packets: number
  readonly bytes: number
  readonly writes: number
  readonly turns: number
  readonly logins: number
}

/** One thread. */
class ThreadLoad {
  #last: Look | undefined = undefined
  #busyShare = 0
  #packetsPerSecond = 0
  /** Mean over packets: weighted with how many there were. Undefined until there was a load to judge by. */
  #packetBytes: number | undefined = undefined
  #weight = 0
  /** By how much packets cost more than on the reference machine, beside its slowness. */
  #excess = 1

  look(now: Look, slowness: number): HeadroomNumbers | undefined {
    const last = this.#last
    this.#last = now
    if (last === undefined) return undefined
    const passed = difference(now, last)
    const elapsedMs = passed.activeMs + passed.idleMs
    if (elapsedMs > 0 && passed.packets >= 0) this.#note(passed, elapsedMs)
    const isTelling = passed.packets >= PACKETS_MIN && passed.logins <= LOGINS_SHARE_MAX * passed.packets
    if (isTelling) this.#learn(passed, slowness)
    return this.#read(slowness)
  }

  #note({ activeMs, packets }: Look, elapsedMs: number): void {
    this.#busyShare += (activeMs / elapsedMs - this.#busyShare) / MEAN_LOOKS
    this.#packetsPerSecond += ((1_000 * packets) / elapsedMs - this.#packetsPerSecond) / MEAN_LOOKS
  }

  #learn(passed: Look, slowness: number): void {
    const { packets, bytes, activeMs } = passed
    this.#weight = this.#weight * (1 - 1 / MEAN_LOOKS) + packets
    const before = this.#packetBytes ?? 0
    this.#packetBytes = before + ((bytes / packets - before) * packets) / this.#weight
    const seen = (1_000 * activeMs) / packets / referenceUs(bytes / packets, slowness)
    if (seen < this.#excess || isFull(passed)) this.#excess += (seen - this.#excess) / MEAN_LOOKS
  }

  #read(slowness: number): HeadroomNumbers | undefined {
    if (this.#packetBytes === undefined) return undefined
    const packetsMaxPerSecond = 1e6 / (this.#excess * referenceUs(this.#packetBytes, slowness))
    return {
      ratio: Math.max(0, 1 - this.#packetsPerSecond / packetsMaxPerSecond),
      packetsPerSecond: this.#packetsPerSecond,
      packetsMaxPerSecond,
      busyShare: this.#busyShare,
    }
  }
}

export class ThreadHeadroom {
  #threads: readonly ThreadLoad[] = []
  #numbers: HeadroomNumbers | undefined = undefined

  /**
   * To be called once a second.
   *
   * @param slowness of this machine beside that of the reference measurements
   */
  look(threads: readonly Counters[], loops: readonly LoopTime[], slowness: number): void {
    this.#threads = threads.map((_, at) => this.#threads[at] ?? new ThreadLoad())
    const all = threads.map((counters, at) => {
      const loop = loops[at]
      return loop === undefined ? undefined : this.#threads[at]?.look(lookAt(counters, loop), slowness)
    })
    this.#numbers = all.filter((one) => one !== undefined).toSorted((a, b) => a.ratio - b.ratio)[0]
  }

  /** Of the thread that has least left; undefined until there was a load to judge by. */
  read(): HeadroomNumbers | undefined {
    return this.#numbers
  }
}

/** What a packet costs a full thread without anything unusual. */
function referenceUs(bytes: number, slowness: number): number {
  return slowness * (PACKET_US + BYTE_US * bytes)
}

function isFull({ activeMs, idleMs, packets, turns, writes }: Look): boolean {
  return (
    idleMs <= FULL_IDLE_SHARE_MAX * (activeMs + idleMs) &&
    packets >= FULL_TURN_PACKETS_MIN * turns &&
    writes <= FULL_WRITES_PER_PACKET_MAX * packets
  )
}

function difference(now: Look, last: Look): Look {
  return {
    activeMs: now.activeMs - last.activeMs,
    idleMs: now.idleMs - last.idleMs,
    packets: now.packets - last.packets,
    bytes: now.bytes - last.bytes,
    writes: now.writes - last.writes,
    turns: now.turns - last.turns,
    logins: now.logins - last.logins,
  }
}

/** A packet is received and sent by one thread, or each of two does half. What siblings forward and are sent counts as well. */
function lookAt(counters: Counters, { activeMs, idleMs }: LoopTime): Look {
  const sum = (...names: PlainCounter[]): number =>
    names.reduce((total, name) => total + counters.get(name), 0)
  return {
    activeMs,
    idleMs,
    packets: sum('receivedData', 'receivedDisco', 'forwardedIn', 'sentData', 'sentDisco', 'forwardedOut') / 2,
    bytes: sum('wireBytesIn', 'wireBytesOut') / 2,
    // Each write has one observation.
    writes: counters.histogram('queueDelay').counts.reduce((total, count) => total + count, 0),
    turns: counters.get('writeTurns'),
    logins: counters.get('loginsTotal'),
  }
}
