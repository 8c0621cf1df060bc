// The drain of this relay, as operators see it: a check of /readyz, and the numbers of the last log line and of
// the metrics (`drain-families.ts`).
// Computes everything from the relay threads' counters; what is counted there is said in `#relay/counters.ts`.

import { Counters, type PlainCounter } from '#relay/counters.ts'
import { DropReason, PacketKind } from '#relay/drop-reason.ts'
import type { CheckOutcome, HealthCheck } from './health.ts'

/** Why packets are lost that would not be lost without a drain. Outside a drain they have other causes. */
const LOSSES = [
  DropReason.goneDisconnected,
  DropReason.unknownDestinationForwarded,
  DropReason.handOffQueue,
  DropReason.handOffTimeout,
] as const

export interface DrainNumbers {
  /** Clients that are still connected. */
  readonly remaining: number
  /** Clients that were sent everything and then ended their side. */
  readonly moved: number
  /** Clients that were cut off. */
  readonly forced: number
  /** Clients that left by themselves. */
  readonly left: number
  /** Packets held for clients that had left, and of those the ones that were sent after them. */
  readonly held: number
  readonly handedOn: number
  readonly lost: number
}

export class DrainWatch implements HealthCheck {
  readonly name = 'drain'
  readonly #threads: readonly Counters[]
  /** Packets that were lost before the drain began; undefined if there is none. */
  #lostBefore: number | undefined = undefined

  constructor(threads: readonly Counters[]) {
    this.#threads = threads
  }

  get isDraining(): boolean {
    return this.#lostBefore !== undefined
  }

  begin(): void {
    this.#lostBefore ??= this.#losses()
  }

  check(): CheckOutcome {
    if (!this.isDraining) return { isOk: true, detail: 'this relay is not leaving' }
    return { isOk: false, detail: `draining, ${this.numbers().remaining} clients left` }
  }

  numbers(): DrainNumbers {
    return {
      remaining: this.#sum('clientsCurrent') - this.#sum('siblingsCurrent'),
      moved: this.#sum('drainMoved'),
      forced: this.#sum('drainForced'),
      left: this.#sum('drainLeft'),
      held: this.#sum('handOffHeld'),
      handedOn: this.#sum('handOffSent'),
      lost: this.#losses() - (this.#lostBefore ?? this.#losses()),
    }
  }

  #sum(name: PlainCounter): number {
    return this.#threads.reduce((sum, counters) => sum + counters.get(name), 0)
  }

  #losses(): number {
    const total = new Counters().sumOf(this.#threads)
    const kinds = Object.values(PacketKind)
    return LOSSES.flatMap((reason) => kinds.map((kind) => total.droppedPackets(reason, kind))).reduce(
      (sum, dropped) => sum + dropped,
      0,
    )
  }
}
