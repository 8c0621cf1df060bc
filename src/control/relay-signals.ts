// What each signal does to a relay: which ask it to end, which end it at once, which have it read its files again. All
// are listened to from the first moment, because Node gives each its default effect at the start, whatever whoever
// started it (nohup, for one) had arranged. docs/signals-and-health.md tells it to operators.

/** The part of `process` that is listened to. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
}

export interface SignalParts {
  /** Ends the process by this signal, without waiting for anything. */
  endNow(signal: NodeJS.Signals): void
  /** Whether it was started on a terminal that is no more. */
  isTerminalGone(): boolean
  /** Monotonic milliseconds. */
  now(): number
}

/** What a running relay does when asked; nothing before it runs. */
export interface SignalListener {
  reload(): void
  /** Between the level of the settings and debug. */
  toggleDebug(): void
}

/** A terminal's Ctrl-C reaches a program that npm runs twice: from the terminal, and from npm a moment later. */
const SAME_SIGNAL_MS = 300

export class RelaySignals {
  /** Settles at the first signal that asks the relay to end. */
  readonly stopped: Promise<NodeJS.Signals>
  listener: SignalListener | undefined = undefined
  readonly #parts: SignalParts
  readonly #resolve: (signal: NodeJS.Signals) => void
  #firstMs: number | undefined = undefined

  constructor(source: SignalSource, parts: SignalParts) {
    this.#parts = parts
    const stopped = Promise.withResolvers<NodeJS.Signals>()
    this.stopped = stopped.promise
    this.#resolve = stopped.resolve
    source.on('SIGTERM', (signal) => this.#stop(signal))
    source.on('SIGINT', (signal) => this.#stop(signal))
    source.on('SIGQUIT', (signal) => parts.endNow(signal))
    source.on('SIGHUP', (signal) => this.#hangUp(signal))
    // Node would open its debugger's port, which lets every user of the machine run code here. The launcher switches
    // that off; this is for who starts Node otherwise.
    source.on('SIGUSR1', () => undefined)
    source.on('SIGUSR2', () => this.listener?.toggleDebug())
  }

  /** Another one, unless it is the same one again, ends the process at once. */
  #stop(signal: NodeJS.Signals): void {
    const nowMs = this.#parts.now()
    if (this.#firstMs !== undefined && nowMs - this.#firstMs > SAME_SIGNAL_MS) this.#parts.endNow(signal)
    this.#firstMs ??= nowMs
    this.#resolve(signal)
  }

  /** Closing the window ends what runs in it; what was started with nohup, or by a manager, has no window. */
  #hangUp(signal: NodeJS.Signals): void {
    if (this.#parts.isTerminalGone()) this.#resolve(signal)
    else this.listener?.reload()
  }
}
