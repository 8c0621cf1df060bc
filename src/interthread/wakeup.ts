// Wakes a relay thread that has something to read in its rings, however many. Waking a thread costs more than carrying
// a frame, so one that is awake anyway says so and is not woken: it reads its rings before it sleeps. Shared memory:
// the owner and all threads that write to it use it at once.

const WAKE_COUNT = 0
const STATE = 1

const ASLEEP = 0
const AWAKE = 1
/** Asleep until its next poll round, a millisecond away at most. */
const POLLING = 2

export class Wakeup {
  readonly #words: Int32Array

  constructor(memory: SharedArrayBuffer) {
    this.#words = new Int32Array(memory)
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT)
  }

  /** Called after writing: wakes the owner unless it is awake, or another thread has just woken it. */
  wake(isUrgent = true): void {
    const state = Atomics.compareExchange(this.#words, STATE, ASLEEP, AWAKE)
    if (state === AWAKE || (state === POLLING && !isUrgent)) return
    if (state === POLLING && Atomics.compareExchange(this.#words, STATE, POLLING, AWAKE) !== POLLING) return
    Atomics.add(this.#words, WAKE_COUNT, 1)
    Atomics.notify(this.#words, WAKE_COUNT)
  }

  /**
   * The owner says whether it will read its rings by itself. An owner that falls asleep must look once more afterwards:
   * a thread that wrote before it could see this does not wake it.
   */
  setAwake(isAwake: boolean): void {
    Atomics.store(this.#words, STATE, isAwake ? AWAKE : ASLEEP)
  }

  /** The owner sleeps until its next poll round: it is woken for urgent frames only. */
  setPolling(): void {
    Atomics.store(this.#words, STATE, POLLING)
  }

  /** How often the owner was woken; pass it to `wait`. */
  count(): number {
    return Atomics.load(this.#words, WAKE_COUNT)
  }

  /** Settles at the first wake after `count` was taken. */
  async wait(count: number): Promise<void> {
    await Atomics.waitAsync(this.#words, WAKE_COUNT, count).value
  }
}
