// Which way the packets of one WireGuard peer take: its own (native) while that lives, the relay while it does not. Decides only;
// bridge-peer.ts acts. Time is passed in.
//
// To leave the native way takes two witnesses. The first is this host's WireGuard: something was sent and nothing has come since.
// That alone proves nothing, since a receiver may have nothing to say. The second is the other host's WireGuard, asked over the
// relay twice: what was sent here meanwhile has not arrived there, or what was sent there has not arrived here. Where no
// bridge answers, there is no second witness, and silence must last longer than WireGuard itself may be silent.
//
// The way back is tried for as long as the other bridge needs to answer: if its WireGuard sees this one come the native way, that
// way lives.

import type { SeenState } from './control-frame.ts'
import type { WgPeerState } from './wg-control.ts'

export type Way = 'native' | 'relay'

export type SteeringAction =
  /** Ask the other bridge what it sees. */
  | 'ask'
  | 'to-relay'
  /** Go the native way until the other bridge says whether it lives; tell `tried`. */
  | 'try-native'

/** WireGuard answers within 10 s, by a keepalive if by nothing else, and needs 5 s to begin a handshake anew. */
const ALONE_MS = 15_000
/** Shorter silence is no reason to ask. */
const SILENT_MS = 900
/** Looks at which something more had been sent, and nothing of it has arrived: some lost packets are no dead way. */
const LOST_LOOKS = 3
/** A comparison that has shown nothing begins anew. */
const COMPARED_MS_MAX = 10_000
/** A doubt that the other side does not share is no reason to ask it every second. */
const REASSURED_MS = 5_000
const TRY_MS = { first: 2_000, max: 60_000, growth: 1.5 }
/** A native way that dies so soon after the return was not worth it: the next return takes longer. */
const UNSTEADY_MS = 30_000
const UNSTEADY_TRY_MS_MAX = 300_000

interface Sample {
  readonly atMs: number
  readonly rx: number
  readonly tx: number
}

/** What the other bridge saw at first, and what has been sent on both sides since. */
interface Comparison {
  readonly atMs: number
  readonly far: SeenState
  /** The look after that answer; what was sent before it may have been seen there already. */
  ownTx: number | undefined
  /** Looks at which more was sent here, and those of them that were not the last look: that may be on its way still. */
  sends: number
  sendsArrived: number
  /** Answers in which more was sent there, likewise. */
  farTx: number
  farSends: number
}

export class Steering {
  #way: Way
  #sinceMs: number
  #last: Sample | undefined
  /** The last look at which something had come. */
  #heardMs: number
  #sentUnheardMs: number | undefined
  #base: Comparison | undefined
  #reassuredMs = Number.NEGATIVE_INFINITY
  #hasFarBridge = false
  #tryAtMs = 0
  #tryEveryMs = TRY_MS.first
  /** How long a return is held off at least, after returns that did not last. */
  #steadyMs = TRY_MS.first
  switches = 0

  constructor(way: Way, nowMs: number) {
    this.#way = way
    this.#sinceMs = nowMs
    this.#heardMs = nowMs
  }

  get way(): Way {
    return this.#way
  }

  /** Since when it is this way. */
  get sinceMs(): number {
    return this.#sinceMs
  }

  /** Whether looks should follow each other more quickly. */
  get isDoubtful(): boolean {
    return this.#sentUnheardMs !== undefined || this.#base !== undefined
  }

  /** A look at WireGuard; `way` is where its endpoint points to now. WireGuard itself moves it to where packets come from. */
  look(state: WgPeerState, way: Way, nowMs: number): SteeringAction | undefined {
    this.#note({ atMs: nowMs, rx: state.rx, tx: state.tx })
    if (way !== this.#way) this.#arrive(way, nowMs)
    if (this.#way === 'relay') return this.#lookFromRelay(nowMs)
    const unheardMs = nowMs - (this.#sentUnheardMs ?? nowMs)
    if (unheardMs < SILENT_MS || nowMs - this.#reassuredMs < REASSURED_MS) return undefined
    if (!this.#hasFarBridge && unheardMs >= ALONE_MS) return this.#leave(nowMs)
    return 'ask'
  }

  /** What the other bridge sees, asked or not. */
  hear(far: SeenState | undefined, nowMs: number): SteeringAction | undefined {
    this.#hasFarBridge = true
    if (far === undefined) return undefined
    if (this.#way === 'relay') return undefined
    const base = this.#base
    if (base === undefined || nowMs - base.atMs > COMPARED_MS_MAX || far.rx < base.far.rx) {
      this.#base = this.#isSilent(nowMs) ? newComparison(far, nowMs) : undefined
      return undefined
    }
    const isLostThere = base.sendsArrived >= LOST_LOOKS && far.rx === base.far.rx
    const isLostHere = base.farSends >= LOST_LOOKS
    if (isLostThere || isLostHere) return this.#leave(nowMs)
    if (far.tx > base.farTx) [base.farTx, base.farSends] = [far.tx, base.farSends + 1]
    if (far.rx > base.far.rx && base.farSends === 0) {
      this.#reassuredMs = nowMs
      this.#base = undefined
    }
    return undefined
  }

  /** A change of this host's addresses or routes: the native way may be there again. */
  networkChanged(nowMs: number): void {
    this.#tryEveryMs = TRY_MS.first
    if (this.#way === 'relay') this.#tryAtMs = nowMs
  }

  /** The native way was tried. If it lives, the endpoint is left there. */
  tried(lives: boolean, nowMs: number): void {
    if (lives) this.#arrive('native', nowMs)
  }

  #isSilent(nowMs: number): boolean {
    return nowMs - this.#heardMs >= SILENT_MS
  }

  #note(sample: Sample): void {
    const last = this.#last
    this.#last = sample
    // Counters that are smaller are those of a WireGuard that has started anew.
    if (last === undefined || sample.rx !== last.rx || sample.tx < last.tx) {
      this.#heardMs = sample.atMs
      this.#sentUnheardMs = undefined
      this.#base = undefined
    } else if (sample.tx > last.tx) {
      this.#sentUnheardMs ??= last.atMs
    }
    this.#count(sample)
  }

  #count({ atMs, tx }: Sample): void {
    const base = this.#base
    if (base === undefined) return
    if (atMs - base.atMs > COMPARED_MS_MAX) {
      this.#base = undefined
      return
    }
    base.sendsArrived = base.sends
    if (base.ownTx !== undefined && tx > base.ownTx) base.sends++
    base.ownTx = tx
  }

  #lookFromRelay(nowMs: number): SteeringAction | undefined {
    if (nowMs < this.#tryAtMs) return undefined
    this.#tryAtMs = nowMs + this.#tryEveryMs
    this.#tryEveryMs = Math.min(this.#tryEveryMs * TRY_MS.growth, TRY_MS.max)
    return 'try-native'
  }

  #leave(nowMs: number): SteeringAction {
    this.#arrive('relay', nowMs)
    return 'to-relay'
  }

  #arrive(way: Way, nowMs: number): void {
    if (way === 'relay') {
      const wasUnsteady = this.switches > 0 && nowMs - this.#sinceMs < UNSTEADY_MS
      this.#steadyMs = wasUnsteady ? Math.min(this.#steadyMs * 2, UNSTEADY_TRY_MS_MAX) : TRY_MS.first
      this.#tryEveryMs = this.#steadyMs
      this.#tryAtMs = nowMs + this.#steadyMs
    }
    this.#way = way
    this.#sinceMs = nowMs
    this.#heardMs = nowMs
    this.#sentUnheardMs = undefined
    this.#base = undefined
    this.switches++
  }
}

function newComparison(far: SeenState, atMs: number): Comparison {
  return { atMs, far, ownTx: undefined, sends: 0, sendsArrived: 0, farTx: far.tx, farSends: 0 }
}
