// Two runs of one relay without sockets, linked by real bridges over a pipe in memory that cuts bytes as it likes. Everything
// is synchronous, as in `TestRelay`.

import { Counters } from '#relay/counters.ts'
import { RunBridge, type BridgeStream } from '#interthread/run-bridge.ts'
import type { BridgeMemory } from '#interthread/thread-memory.ts'
import { FakeClock } from './fake-clock.ts'
import { TestRelay, type TestRelayOptions } from './test-relay.ts'

/** Far more than anything takes here. */
const ROUNDS_MAX = 20_000
/** Beyond this a bridge does not read rings. */
const UNSENT_BYTES_MAX = 1_048_576

/** The bytes on their way to one bridge. */
class Pipe implements BridgeStream {
  /** The bridge at the end. */
  to: RunBridge | undefined = undefined
  /** Takes nothing, as a socket whose other end is not read. */
  isFull = false
  #pieces: { readonly bytes: Uint8Array; readonly taken: () => void }[] = []
  /** Set by the reader. */
  isPaused = false
  readonly #cutBytes: number
  unsentBytes = 0

  constructor(cutBytes: number) {
    this.#cutBytes = cutBytes
  }

  write(bytes: Uint8Array, taken: () => void): void {
    this.unsentBytes += bytes.length
    this.#pieces.push({ bytes, taken })
  }

  pause(): void {}

  resume(): void {}

  /** Delivers one write. Returns false if there was nothing to do. */
  work(): boolean {
    if (this.isFull || this.isPaused) return false
    const piece = this.#pieces.shift()
    if (piece === undefined) return false
    const bytes = Buffer.from(piece.bytes)
    // The writer may use its memory again.
    piece.bytes.fill(0xaa)
    this.unsentBytes -= bytes.length
    piece.taken()
    for (let at = 0; at < bytes.length; at += this.#cutBytes) {
      this.to?.receive(Buffer.from(bytes.subarray(at, at + this.#cutBytes)))
    }
    return true
  }
}

export interface RunSide {
  readonly relay: TestRelay
  readonly bridge: RunBridge
  readonly counters: Counters
  /** To the other side. */
  readonly pipe: Pipe
}

export interface TwoRunsOptions {
  readonly threads?: readonly [number, number]
  /** Bytes that arrive at once. */
  readonly cutBytes?: number
  readonly relay?: Partial<TestRelayOptions>
}

export class TwoRuns {
  readonly clock = new FakeClock()
  readonly older: TestRelay
  readonly newer: TestRelay
  /** Why each bridge has broken. */
  readonly broken: string[] = []
  sides: readonly RunSide[] = []
  readonly #options: TwoRunsOptions
  #nextTurn: (() => void)[] = []

  constructor(options: TwoRunsOptions = {}) {
    this.#options = options
    const [older, newer] = this.#options.threads ?? [1, 1]
    const make = (threads: number): TestRelay =>
      new TestRelay({ ...options.relay, threads, isRun: true, clock: this.clock })
    this.older = make(older)
    this.newer = make(newer)
    this.newer.startAfter(this.older)
    for (const relay of [this.older, this.newer]) relay.settleAll = () => this.settle()
  }

  /** The newer run joins the older one, for the first time or again. */
  join(): void {
    const pipes = [this.#pipe(), this.#pipe()] as const
    const relays = [this.older, this.newer] as const
    const sides = relays.map((relay, i) => {
      const other = relays[1 - i] as TestRelay
      const memory = relay.openRun(other.threads.length)
      return this.#side(relay, memory, pipes[i] as Pipe, pipes[1 - i] as Pipe)
    })
    sides.forEach(({ bridge }, i) => ((pipes[1 - i] as Pipe).to = bridge))
    this.sides = sides
    this.settle()
  }

  /** The link between the runs ends, whatever was on its way. */
  part(): void {
    for (const { bridge } of this.sides) bridge.end()
    this.sides = []
    for (const relay of [this.older, this.newer]) relay.closeRun()
  }

  settle(): void {
    for (let round = 0; this.#work(); round++) {
      if (round === ROUNDS_MAX) throw new Error('the runs do not settle')
    }
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 50) {
      this.settle()
      this.clock.advance(Math.min(50, left))
      for (const relay of [this.older, this.newer]) relay.sweep()
    }
    this.settle()
  }

  #work(): boolean {
    const callbacks = this.#nextTurn
    this.#nextTurn = []
    for (const callback of callbacks) callback()
    let isBusy = callbacks.length > 0
    for (const relay of [this.older, this.newer]) isBusy = relay.work() || isBusy
    for (const { bridge, pipe } of this.sides) {
      // A bridge whose pipe takes nothing waits.
      if (bridge.hasFrames && pipe.unsentBytes <= UNSENT_BYTES_MAX) {
        bridge.pump()
        isBusy = true
      }
      isBusy = pipe.work() || isBusy
    }
    return isBusy
  }

  #pipe(): Pipe {
    return new Pipe(this.#options.cutBytes ?? Infinity)
  }

  #side(relay: TestRelay, memory: BridgeMemory, out: Pipe, incoming: Pipe): RunSide {
    const counters = new Counters()
    const bridge = new RunBridge({
      memory,
      counters,
      stream: {
        write: (bytes, taken) => out.write(bytes, taken),
        pause: () => (incoming.isPaused = true),
        resume: () => (incoming.isPaused = false),
      },
      now: this.clock.now,
      later: (delayMs, callback) => {
        if (delayMs === 0) this.#nextTurn.push(callback)
        else this.clock.later(delayMs, callback)
      },
      onBroken: (why) => {
        this.broken.push(why)
        this.part()
      },
    })
    return { relay, bridge, counters, pipe: out }
  }
}
