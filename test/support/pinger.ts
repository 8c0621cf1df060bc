// A stream of pings from one Tailscale client to another, by `tailscale ping` over the relay: several at a time, shifted
// against each other, because each waits a second between its pings. Counts those without an answer, and the longest time
// without one.

import type { Client } from './tailnet.ts'

const STREAMS = 5
/** The pause of `tailscale ping` between two pings. */
const PERIOD_MS = 1_000
const TIMEOUT = '900ms'

export interface PingCounts {
  readonly sent: number
  readonly lost: number
  /** From an answer to the next one. */
  readonly longestGapMs: number
}

export class Pinger implements AsyncDisposable {
  readonly #from: Client
  readonly #address: string
  readonly #streams: Promise<void>[] = []
  #isStopped = false
  #sent = 0
  #lost = 0
  #answeredMs = performance.now()
  #longestGapMs = 0

  constructor(from: Client, address: string) {
    this.#from = from
    this.#address = address
    for (let n = 0; n < STREAMS; n++) this.#streams.push(this.#stream((n * PERIOD_MS) / STREAMS))
  }

  /** The counts since the last call. */
  take(): PingCounts {
    this.#noteGap()
    const counts = { sent: this.#sent, lost: this.#lost, longestGapMs: Math.round(this.#longestGapMs) }
    this.#sent = this.#lost = this.#longestGapMs = 0
    return counts
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#streams)
  }

  async #stream(shiftMs: number): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, shiftMs))
    while (!this.#isStopped) {
      const startedMs = performance.now()
      const hasAnswer = await this.#ping()
      this.#sent++
      if (hasAnswer) this.#noteAnswer()
      else this.#lost++
      const restMs = PERIOD_MS - (performance.now() - startedMs)
      if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs))
    }
  }

  async #ping(): Promise<boolean> {
    const args = ['--until-direct=false', '-c=1', `--timeout=${TIMEOUT}`, this.#address]
    return await this.#from.run('ping', ...args).then(
      (output) => output.includes('via DERP'),
      () => false,
    )
  }

  #noteAnswer(): void {
    this.#noteGap()
    this.#answeredMs = performance.now()
  }

  #noteGap(): void {
    this.#longestGapMs = Math.max(this.#longestGapMs, performance.now() - this.#answeredMs)
  }
}
