// What each signal does to a relay: an orderly stop, an immediate end, a reload of its files, or a change of the log
// level. main.ts installs the listeners before anything else is loaded: at its start Node resets every signal to its
// default effect, also one that the parent process (nohup, for example) had set to be ignored. Runs on the control
// thread. docs/signals-and-health.md describes the signals to operators.

/** The part of `process` that is used here. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: (signal: NodeJS.Signals) => void): unknown
}

export interface SignalParts {
  /** Ends the process by this signal at once. */
  endNow(signal: NodeJS.Signals): void
  /** Whether the process was started on a terminal that has since been closed. */
  isTerminalGone(): boolean
  /** Monotonic milliseconds. */
  now(): number
}

/** What a running relay does on a signal that does not end it. */
export interface SignalListener {
  reload(): void
  /** Switches between the log level of the settings and debug. */
  toggleDebug(): void
}

/** With `npm start`, Ctrl-C arrives twice: from the terminal, and from npm a moment later. */
const SAME_SIGNAL_MS = 300

export class RelaySignals {
  /** Resolves with the first signal that asks the relay to stop. */
  readonly stopped: Promise<NodeJS.Signals>
  readonly #parts: SignalParts
  readonly #resolve: (signal: NodeJS.Signals) => void
  #listener: SignalListener | undefined = undefined
  /** There was a SIGHUP before anybody listened. */
  #isReloadDue = false
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
    // By default Node opens its debugger's port, which lets every user of the machine run code in the relay. The
    // launcher disables that; this listener covers a relay that was started without the launcher.
    source.on('SIGUSR1', () => undefined)
    source.on('SIGUSR2', () => this.#listener?.toggleDebug())
  }

  /** The relay serves now. It reloads if it was asked to during the start, when files may have been read already. */
  listen(listener: SignalListener): void {
    this.#listener = listener
    if (this.#isReloadDue) listener.reload()
  }

  /** A second signal ends the process at once, unless it is npm's copy of the first. */
  #stop(signal: NodeJS.Signals): void {
    const nowMs = this.#parts.now()
    if (this.#firstMs !== undefined && nowMs - this.#firstMs > SAME_SIGNAL_MS) this.#parts.endNow(signal)
    this.#firstMs ??= nowMs
    this.#resolve(signal)
  }

  /** A closed terminal stops the relay. Started with nohup or by a service manager, it has no terminal and reloads. */
  #hangUp(signal: NodeJS.Signals): void {
    if (this.#parts.isTerminalGone()) this.#resolve(signal)
    else if (this.#listener !== undefined) this.#listener.reload()
    else this.#isReloadDue = true
  }
}
