// The output of the log: a file descriptor that may fail in any way while the relay continues. A full disk, or a reader
// that is slow or gone, costs log lines and nothing else. Lines that can't be written at once wait, up to a limit. Lines
// beyond the limit are lost and counted, and the log reports the loss once writing works again. Formats nothing. Never
// throws, and blocks only in `flush`.

import { constants, openSync, writeSync } from 'node:fs'

/** For lines that wait while a pipe is full: several seconds of a storm, and little beside a relay's memory. */
const WAITING_BYTES_MAX = 1_048_576
/** Retry interval for a full pipe. */
const FULL_RETRY_MS = 100
/** Retry interval after any other failure; a new line retries earlier. */
const FAILED_RETRY_MS = 10_000
/** `flush` waits this long for each piece that a slow reader takes. A reader that takes none in this time is stuck. */
const FLUSH_MS_MAX = 1_000
const FLUSH_POLL_MS = 5

export class LineOutput {
  readonly #descriptor: number
  readonly #lostLine: (count: number) => string
  #waiting: Buffer[] = []
  #waitingBytes = 0
  /** Only a part of the current line is written. If its rest is lost, the next line must start with a line break. */
  #isMidLine = false
  #lost = 0
  /** Lost lines that the log has not reported yet. */
  #unreported = 0
  /** Lost lines that a waiting line reports. */
  #reporting = 0
  #timer: NodeJS.Timeout | undefined = undefined

  /**
   * @param descriptor should not block if possible; see `descriptorOf`
   * @param lostLine makes the line that reports this many lost lines
   */
  constructor(descriptor: number, lostLine: (count: number) => string) {
    this.#descriptor = descriptor
    this.#lostLine = lostLine
  }

  /** The number of lost lines. */
  get linesLost(): number {
    return this.#lost
  }

  /** @param line one whole line, newline included */
  write(line: string): void {
    if (this.#unreported > 0 && this.#waiting.length === 0) this.#drain()
    const bytes = Buffer.from(line)
    const isFull = this.#waiting.length > 0 && this.#waitingBytes + bytes.length > WAITING_BYTES_MAX
    // After a loss, all waiting lines must leave first, so that the report stands where the lines are missing.
    if (isFull || this.#unreported > 0) return this.#lose(1)
    this.#push(bytes)
    this.#drain()
  }

  /** Writes the waiting lines before the process ends. Lines that the reader does not take are lost. */
  flush(): void {
    const sleeper = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
    let left = this.#waitingBytes
    let deadlineMs = performance.now() + FLUSH_MS_MAX
    while (!this.#drain() && this.#waiting.length > 0 && performance.now() < deadlineMs) {
      Atomics.wait(sleeper, 0, 0, FLUSH_POLL_MS)
      if (this.#waitingBytes < left) deadlineMs = performance.now() + FLUSH_MS_MAX
      left = this.#waitingBytes
    }
  }

  /** Writes as much as possible. True if no line waits and no loss remains to be reported. */
  #drain(): boolean {
    for (;;) {
      if (this.#waiting.length === 0 && this.#unreported > 0) this.#pushLossReport()
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
    if (this.#waiting.length === 0) this.#reporting = 0
    return 'written'
  }

  #push(bytes: Buffer): void {
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
  }

  #pushLossReport(): void {
    this.#push(Buffer.from(`${this.#isMidLine ? '\n' : ''}${this.#lostLine(this.#unreported)}`))
    this.#reporting = this.#unreported
    this.#unreported = 0
  }

  #loseWaiting(): void {
    // A lost report is not a lost event: its lines are reported again.
    const count = this.#waiting.length - Number(this.#reporting > 0)
    this.#unreported += this.#reporting
    this.#reporting = 0
    this.#waiting = []
    this.#waitingBytes = 0
    this.#lose(count)
  }

  #lose(count: number): void {
    this.#lost += count
    this.#unreported += count
  }

  #retryIn(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#drain(), ms).unref()
  }
}

/**
 * A descriptor for a stream of this process that does not block while the reader is slow. Node makes pipes and sockets
 * non-blocking when it creates the stream. A terminal that its user has stopped (Ctrl-S) blocks unless it is opened a
 * second time.
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
