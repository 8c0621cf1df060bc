// How much more the busiest relay thread can carry. The busy share of its event loop does not tell: a packet that is read,
// written and waited for alone costs several times what it costs on a full thread, so a thread can be busy for 97 % of its time
// with a third of what it can carry. What tells is the cost of a packet beside how alone packets are: in writes per packet,
// and in turns of the event loop, per packet, that began with a sleeping thread. Runs on the control thread.
//
//   busy time per packet = bare cost × (1 + 4 × writes per packet + 6 × idle share × turns per packet)
//
// The two factors are of the reference measurements (docs/decisions/0020), and the bare cost is of this machine and load: it
// follows from any load. A full thread does not sleep, and its turns have a hundred packets, in as many writes as now, or in
// ten if they are more: with more destinations its turns become longer.

import type { Counters } from '#relay/counters.ts'
import type { LoopTime } from './metrics.ts'

const WRITE_FACTOR = 4
const WAKE_FACTOR = 6
const FULL_TURN_PACKETS = 100
const FULL_WRITES_PER_PACKET_MAX = 0.1
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
  readonly turns: number
  readonly logins: number
}

/** One thread. */
class ThreadLoad {
  #last: Look | undefined = undefined
  #busyShare = 0
  #packetsPerSecond = 0
  /** Means over packets: weighted with how many there were. */
  #weight = 0
  #fullCostUs = 0

  look(now: Look): HeadroomNumbers | undefined {
    const last = this.#last
    this.#last = now
    if (last === undefined) return undefined
    const activeMs = now.activeMs - last.activeMs
    const elapsedMs = activeMs + now.idleMs - last.idleMs
    const packets = now.packets - last.packets
    if (elapsedMs > 0 && packets >= 0) this.#note(activeMs / elapsedMs, (1_000 * packets) / elapsedMs)
    const isTelling = packets >= PACKETS_MIN && now.logins - last.logins <= LOGINS_SHARE_MAX * packets
    if (isTelling) this.#learn(fullCostUs(last, now), packets)
    return this.#read()
  }

  #note(busyShare: number, packetsPerSecond: number): void {
    this.#busyShare += (busyShare - this.#busyShare) / MEAN_LOOKS
    this.#packetsPerSecond += (packetsPerSecond - this.#packetsPerSecond) / MEAN_LOOKS
  }

  #learn(costUs: number, packets: number): void {
    this.#weight = this.#weight * (1 - 1 / MEAN_LOOKS) + packets
    this.#fullCostUs += ((costUs - this.#fullCostUs) * packets) / this.#weight
  }

  /** Undefined until there was a load to judge by. */
  #read(): HeadroomNumbers | undefined {
    if (this.#weight === 0) return undefined
    const packetsMaxPerSecond = 1e6 / this.#fullCostUs
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

/** What a packet would cost on a full thread. */
function fullCostUs(last: Look, now: Look): number {
  const packets = now.packets - last.packets
  const activeMs = now.activeMs - last.activeMs
  const idleShare = 1 - activeMs / (activeMs + now.idleMs - last.idleMs)
  const writes = (now.writes - last.writes) / packets
  const turns = (now.turns - last.turns) / packets
  const perTurn = turns === 0 ? Infinity : writes / turns
  const fullWrites = Math.min(writes, perTurn / FULL_TURN_PACKETS, FULL_WRITES_PER_PACKET_MAX)
  const bareUs = (1_000 * activeMs) / packets / (1 + WRITE_FACTOR * writes + WAKE_FACTOR * idleShare * turns)
  return bareUs * (1 + WRITE_FACTOR * fullWrites)
}

/** A packet is received and sent by one thread, or each of two does half. What siblings forward and are sent counts as well. */
function lookAt(counters: Counters, { activeMs, idleMs }: LoopTime): Look {
  const received = counters.get('receivedData') + counters.get('receivedDisco') + counters.get('forwardedIn')
  const sent = counters.get('sentData') + counters.get('sentDisco') + counters.get('forwardedOut')
  return {
    activeMs,
    idleMs,
    packets: (received + sent) / 2,
    // Each write has one observation.
    writes: counters.histogram('queueDelay').counts.reduce((sum, count) => sum + count, 0),
    turns: counters.get('writeTurns'),
    logins: counters.get('loginsTotal'),
  }
}
