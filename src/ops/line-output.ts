// Where the log's lines go: a file descriptor that may fail in any way while the relay goes on. A full disk, a reader
// that has gone or that reads no more cost lines, never more: lines that can't be written at once wait within a
// bound, what exceeds it is lost and counted, and the loss is said in the log itself once writing works again. Formats
// nothing. Never throws, and never waits but in `flush`.

import { constants, openSync, writeSync } from 'node:fs'

/** Lines wait here while a pipe is full: several seconds of a storm, and nothing beside a relay's memory. */
const WAITING_BYTES_MAX = 1_048_576
/** A pipe that was full is tried again so soon. */
const FULL_RETRY_MS = 100
/** Whatever else failed is tried again so seldom, unless there is a line to write before. */
const FAILED_RETRY_MS = 10_000
/** At the end a slow reader is given so long for each piece it takes; a stuck one is not waited for any longer. */
const FLUSH_MS_MAX = 1_000
const FLUSH_LOOK_MS = 5

export class LineOutput {
  readonly #descriptor: number
  readonly #lostLine: (count: number) => string
  #waiting: Buffer[] = []
  #waitingBytes = 0
  /** Part of a line is written; what comes without its rest needs a new line. */
  #isMidLine = false
  #lost = 0
  /** Lost lines that the log has not told of. */
  #untold = 0
  /** Those that a waiting line tells of. */
  #telling = 0
  #timer: NodeJS.Timeout | undefined = undefined

  /**
   * @param descriptor should not block where it can; see `descriptorOf`
   * @param lostLine makes the line that tells of so many lost ones
   */
  constructor(descriptor: number, lostLine: (count: number) => string) {
    this.#descriptor = descriptor
    this.#lostLine = lostLine
  }

  /** Lines that nobody will see. */
  get linesLost(): number {
    return this.#lost
  }

  /** @param line a whole one, newline included */
  write(line: string): void {
    if (this.#untold > 0 && this.#waiting.length === 0) this.#drain()
    const bytes = Buffer.from(line)
    const isFull = this.#waiting.length > 0 && this.#waitingBytes + bytes.length > WAITING_BYTES_MAX
    // After a loss all that waits leaves first, so that the loss is told of where it was.
    if (isFull || this.#untold > 0) return this.#lose(1)
    this.#push(bytes)
    this.#drain()
  }

  /** Writes what waits, before the process ends; what nobody takes is lost. */
  flush(): void {
    const sleeper = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
    let left = this.#waitingBytes
    let deadlineMs = performance.now() + FLUSH_MS_MAX
    while (!this.#drain() && this.#waiting.length > 0 && performance.now() < deadlineMs) {
      Atomics.wait(sleeper, 0, 0, FLUSH_LOOK_MS)
      if (this.#waitingBytes < left) deadlineMs = performance.now() + FLUSH_MS_MAX
      left = this.#waitingBytes
    }
  }

  /** True when nothing waits any more and nothing is left to tell. */
  #drain(): boolean {
    for (;;) {
      if (this.#waiting.length === 0 && this.#untold > 0) this.#pushLoss()
      const [first] = this.#waiting
      if (first === undefined) return true
      const result = this.#writeSome(first)
      if (result === 'written') continue
      if (result === 'failed') this.#loseWaiting()
      this.#retryIn(result === 'full' ? FULL_RETRY_MS : FAILED_RETRY_MS)
      return false
    }
  }

  #writeSome(bytes: Buffer): 'written' | 'full' | 'failed' {
    let count: number
    try {
      count = writeSync(this.#descriptor, bytes)
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EAGAIN' ? 'full' : 'failed'
    }
    this.#waitingBytes -= count
    this.#isMidLine = count < bytes.length
    if (this.#isMidLine) this.#waiting[0] = bytes.subarray(count)
    else this.#waiting.shift()
    if (this.#waiting.length === 0) this.#telling = 0
    return 'written'
  }

  #push(bytes: Buffer): void {
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
  }

  #pushLoss(): void {
    this.#push(Buffer.from(`${this.#isMidLine ? '\n' : ''}${this.#lostLine(this.#untold)}`))
    this.#telling = this.#untold
    this.#untold = 0
  }

  #loseWaiting(): void {
    // A line that only told of others is told again.
    const count = this.#waiting.length - Number(this.#telling > 0)
    this.#untold += this.#telling
    this.#telling = 0
    this.#waiting = []
    this.#waitingBytes = 0
    this.#lose(count)
  }

  #lose(count: number): void {
    this.#lost += count
    this.#untold += count
  }

  #retryIn(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#drain(), ms).unref()
  }
}

/**
 * The descriptor of a stream of this process, such that writing to it does not wait for a reader. Node has seen to that
 * for pipes and sockets when it made the stream; a terminal that its user has stopped (Ctrl-S) blocks unless it is
 * opened anew.
 */
export function descriptorOf(stream: { readonly fd: number; readonly isTTY?: boolean }): number {
  if (stream.isTTY !== true) return stream.fd
  const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants
  try {
    return openSync(`/proc/self/fd/${stream.fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY)
  } catch {
    // Another user's terminal, or not Linux.
    return stream.fd
  }
}
