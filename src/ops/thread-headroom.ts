// How much more the busiest relay thread can carry. The busy share of its event loop does not tell: a packet that is read,
// written and waited for alone costs several times what it costs on a full thread, so a thread can be busy for 97 % of its time
// with a third of what it can carry. What tells more is how many packets share a write: on a full thread very many do. Runs on
// the control thread.
//
//   full cost = cost of a packet as seen × parts(size, on a full thread) ÷ parts(size, as seen)
//   parts(size, w, i) = 1 + size / 600 + 15 w / (1 + 1.25 w) + size / 68 × w² + 1.2 i
//                       w: writes per packet, 1 at most; i: idle share of the thread, 0 on a full one
//   carried = 0.97 × 1 s ÷ full cost, packets a second without loss
//
// No speed of a machine is in it: only ratios of costs are. docs/decisions/0020 says how exact this is.

import type { Counters, PlainCounter } from '#relay/counters.ts'
import type { LoopTime } from './metrics.ts'

/** So many bytes of a packet cost as much as the smallest packet itself. */
const SIZE_BYTES = 600
/** A write of its own, with the read and the wait that come with it, costs so many of those … */
const WRITE_PARTS = 15
/** … and less where reads share: packets that are not polled come several to a read, though each few are written alone. */
const SHARED_READS = 1.25
/** A packet that travels alone finds none of its bytes in a cache; so many of them cost as much as the smallest packet. */
const COLD_BYTES = 68
/** A thread that sleeps between packets wakes up to cold caches: on one that nearly always sleeps, a packet costs so much more. */
const IDLE_PARTS = 1.2
/**
 * Of a thread's time without loss: sweeps, timers and collections of garbage come at moments when packets wait. A thread that has
 * less left than they take drops some.
 */
const USABLE_SHARE = 0.97
/** Of a packet of a tunnel that carries a download. */
const USUAL_BYTES = 1_200
/** A full thread writes about so much at a time: 20 to 50 KB. */
const FULL_WRITE_BYTES = 35_000
/** With fewer packets in a look, timers and pages weigh more than packets. */
const PACKETS_MIN = 1_000
/** A login takes as long as fifty packets. A look with more logins than this share of its packets tells nothing of packets. */
const LOGINS_SHARE_MAX = 1 / 1_000
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
  readonly writes: number
  readonly logins: number
  /** Of packets that were sent to clients, and how many those were: what a packet has. */
  readonly bytes: number
  readonly sent: number
}

/** One thread. */
class ThreadLoad {
  #last: Look | undefined = undefined
  #busyShare = 0
  #packetsPerSecond = 0
  /** Mean over packets: weighted with how many there were. Undefined until there was a load to judge by. */
  #fullCostUs: number | undefined = undefined
  #weight = 0

  look(now: Look): HeadroomNumbers | undefined {
    const last = this.#last
    this.#last = now
    if (last === undefined) return undefined
    const passed = difference(now, last)
    const elapsedMs = passed.activeMs + passed.idleMs
    // A thread that has died has counted packets, and its loop no time since the last look.
    if (elapsedMs > 0 && passed.packets >= 0) {
      this.#note(passed, elapsedMs)
      const isTelling = passed.packets >= PACKETS_MIN && passed.logins <= LOGINS_SHARE_MAX * passed.packets
      if (isTelling) this.#learn(passed)
    }
    return this.#read()
  }

  #note({ activeMs, packets }: Look, elapsedMs: number): void {
    this.#busyShare += (activeMs / elapsedMs - this.#busyShare) / MEAN_LOOKS
    this.#packetsPerSecond += ((1_000 * packets) / elapsedMs - this.#packetsPerSecond) / MEAN_LOOKS
  }

  #learn(passed: Look): void {
    this.#weight = this.#weight * (1 - 1 / MEAN_LOOKS) + passed.packets
    const before = this.#fullCostUs ?? 0
    this.#fullCostUs = before + ((fullCostUs(passed) - before) * passed.packets) / this.#weight
  }

  #read(): HeadroomNumbers | undefined {
    if (this.#fullCostUs === undefined) return undefined
    const packetsMaxPerSecond = (1e6 * USABLE_SHARE) / this.#fullCostUs
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

  /** To be called once a second. */
  look(threads: readonly Counters[], loops: readonly LoopTime[]): void {
    this.#threads = threads.map((_, at) => this.#threads[at] ?? new ThreadLoad())
    const all = threads.map((counters, at) => {
      const loop = loops[at]
      return loop === undefined ? undefined : this.#threads[at]?.look(lookAt(counters, loop))
    })
    this.#numbers = all.filter((one) => one !== undefined).toSorted((a, b) => a.ratio - b.ratio)[0]
  }

  /** Of the thread that has least left; undefined until there was a load to judge by. */
  read(): HeadroomNumbers | undefined {
    return this.#numbers
  }
}

/** What a packet of this kind costs a full thread. */
function fullCostUs({ activeMs, idleMs, packets, writes, bytes, sent }: Look): number {
  // A thread that only forwards to siblings has sent nothing to clients.
  const size = sent > 0 ? bytes / sent : USUAL_BYTES
  const seen = parts(size, Math.min(1, writes / packets), idleMs / (activeMs + idleMs))
  const full = parts(size, Math.min(1, size / FULL_WRITE_BYTES), 0)
  return ((1_000 * activeMs) / packets) * Math.min(1, full / seen)
}

/** What a packet costs, in parts of what the smallest one costs on a full thread. @param w writes per packet */
function parts(size: number, w: number, idleShare: number): number {
  const ofWrites = (WRITE_PARTS * w) / (1 + SHARED_READS * w) + (size / COLD_BYTES) * w ** 2
  return 1 + size / SIZE_BYTES + ofWrites + IDLE_PARTS * idleShare
}

function difference(now: Look, last: Look): Look {
  return {
    activeMs: now.activeMs - last.activeMs,
    idleMs: now.idleMs - last.idleMs,
    packets: now.packets - last.packets,
    writes: now.writes - last.writes,
    logins: now.logins - last.logins,
    bytes: now.bytes - last.bytes,
    sent: now.sent - last.sent,
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
    // Each write has one observation.
    writes: counters.histogram('queueDelay').counts.reduce((total, count) => total + count, 0),
    logins: counters.get('loginsTotal'),
    bytes: counters.get('sentBytesData') + counters.get('sentBytesDisco'),
    sent: counters.get('sentData') + counters.get('sentDisco'),
  }
}
