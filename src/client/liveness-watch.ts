// Finds out soon that a connection is dead although nobody has closed it, as after a change of address or of network. TCP
// alone takes minutes, and the silence limit of DERP two. Asks only while the user sends: an idle connection costs nothing.
// Knows no connection: it is told what was sent and heard, and says when to ping and when to cut.

export interface LivenessOptions {
  /** How often to look, and to ping when something was sent and nothing has come back. Default 1 s. */
  readonly pingEveryMs?: number
  /** After this time without anything from the server since the first such ping, the connection is cut. Default 3 s. */
  readonly deadAfterMs?: number
}

/** The connection that is watched. */
export interface WatchedConnection {
  ping(): void
  /** The connection is dead; `silentMs` is the time without an answer. */
  onDead(silentMs: number): void
  /** Bytes that wait to leave this process. */
  queuedBytes(): number
  now(): number
}

const PING_EVERY_MS = 1_000
const DEAD_AFTER_MS = 3_000

export class LivenessWatch {
  readonly #connection: WatchedConnection
  readonly #deadAfterMs: number
  readonly #timer: NodeJS.Timeout
  #hasSent = false
  #hasHeard = false
  #askedMs: number | undefined
  #queuedBytes = 0

  /** Watches until `stop`. */
  constructor(options: LivenessOptions, connection: WatchedConnection) {
    const { pingEveryMs = PING_EVERY_MS, deadAfterMs = DEAD_AFTER_MS } = options
    this.#connection = connection
    this.#deadAfterMs = deadAfterMs
    this.#timer = setInterval(() => this.look(), pingEveryMs)
  }

  /** Something was sent. */
  sent(): void {
    this.#hasSent = true
  }

  /** Anything has come from the server. */
  heard(): void {
    this.#hasHeard = true
    this.#askedMs = undefined
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** What the timer does. */
  look(): void {
    // The system takes bytes only as the server acknowledges others: behind a slow way up, a pong may take long.
    const queuedBytes = this.#connection.queuedBytes()
    if (queuedBytes < this.#queuedBytes) this.heard()
    this.#queuedBytes = queuedBytes
    const isAsked = this.#askedMs !== undefined
    const isDoubtful = this.#hasSent && !this.#hasHeard
    this.#hasSent = this.#hasHeard = false
    const nowMs = this.#connection.now()
    if (isAsked && nowMs - (this.#askedMs ?? nowMs) >= this.#deadAfterMs) {
      const silentMs = Math.round(nowMs - (this.#askedMs ?? nowMs))
      this.#askedMs = undefined
      return this.#connection.onDead(silentMs)
    }
    if (!isAsked && !isDoubtful) return
    this.#askedMs ??= nowMs
    this.#connection.ping()
  }
}
