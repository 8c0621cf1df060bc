// What begins the next poll round: the event loop's own timer, which counts in milliseconds and fires up to one early or late, or
// one of the kernel's. The loop waits for that as it waits for a connection, so whatever else happens meanwhile is handled at once.
//
// Contract: `KernelTimer.open` tests the timer, and rejects where it does not work. Runs on a relay thread.

import { errorText, type Native } from './native.ts'
import { pipeHandle, type PipeHandle } from './runtime-handles.ts'

/** The shortest time of the event loop's timers. */
const LOOP_INTERVAL_MS = 1
/** What a read of the kernel's timer brings: how often it has fired. */
const FIRED_BYTES = 8
/** The event loop reads again at once if a read has filled the buffer. */
const BUFFER_BYTES = 2 * FIRED_BYTES
/** The test takes some tenths of a millisecond. */
const TEST_TIMEOUT_MS = 5_000

export interface RoundTimer {
  /** From the end of a poll round to the next. */
  readonly intervalMs: number
  /** Calls back once after so long, a fraction of a millisecond included if it can. One callback at a time. */
  after(ms: number, callback: () => void): void
}

export const LOOP_TIMER: RoundTimer = {
  intervalMs: LOOP_INTERVAL_MS,
  after: (ms, callback) => void setTimeout(callback, ms),
}

export class KernelTimer implements RoundTimer {
  readonly intervalMs: number
  readonly #native: Pick<Native, 'startTimer'>
  readonly #descriptor: number
  readonly #handle: PipeHandle
  /** The handle reads into it and does not keep it alive. */
  readonly #fired = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  #callback: (() => void) | undefined = undefined

  private constructor(
    native: Pick<Native, 'startTimer'>,
    descriptor: number,
    handle: PipeHandle,
    intervalMs: number,
  ) {
    this.#native = native
    this.#descriptor = descriptor
    this.#handle = handle
    this.intervalMs = intervalMs
    handle.useUserBuffer(this.#fired)
    // Connections keep the thread alive, not the timer.
    handle.unref()
  }

  /** Rejects with what is wrong if the timer does not work here. */
  static async open(
    native: Pick<Native, 'close' | 'makeTimer' | 'startTimer'>,
    intervalMs: number,
  ): Promise<KernelTimer> {
    let timer: KernelTimer | undefined = undefined
    const handle = pipeHandle((byteCount) => timer?.onRead(byteCount))
    const descriptor = native.makeTimer()
    if (descriptor < 0) throw new Error(`cannot make a timer: ${errorText(descriptor)}`)
    const opened = handle.open(descriptor)
    if (opened < 0) {
      handle.close(() => undefined)
      native.close(descriptor)
      throw new Error(`cannot wait for a timer: ${errorText(opened)}`)
    }
    timer = new KernelTimer(native, descriptor, handle, intervalMs)
    try {
      await timer.#test()
    } catch (error) {
      timer.close()
      throw error
    }
    return timer
  }

  after(ms: number, callback: () => void): void {
    this.#callback = callback
    // It was tested with the same arguments but for the time.
    this.#native.startTimer(this.#descriptor, 1_000 * ms)
  }

  close(): void {
    this.#handle.close(() => undefined)
  }

  /** For the handle alone. */
  onRead(byteCount: number): void {
    if (byteCount !== FIRED_BYTES) return
    const callback = this.#callback
    this.#callback = undefined
    callback?.()
  }

  async #test(): Promise<void> {
    const started = this.#handle.readStart()
    if (started < 0) throw new Error(`cannot read a timer: ${errorText(started)}`)
    await new Promise<void>((resolve, reject) => {
      const timeout = setTimeout(() => reject(new Error('the timer does not fire')), TEST_TIMEOUT_MS)
      this.after(this.intervalMs, () => {
        clearTimeout(timeout)
        resolve()
      })
    })
  }
}
