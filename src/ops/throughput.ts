// What a relay carries now and has carried at most within the last hour, from its counters, read once a second. A rate is a
// mean of ten seconds: a shorter one would show bursts that no link has to carry for long. Runs on the control thread.

/** Looks at the counters, one a second, that a rate is the mean of. */
const WINDOW_LOOKS = 10
/** Peaks of single minutes, for an hour. */
const PEAK_MINUTES = 60
const MINUTE_MS = 60_000

/** What has left the relay so far: to clients and to siblings. */
export interface Carried {
  readonly packets: number
  /** Without frame headers and keys. */
  readonly bytes: number
}

export interface ThroughputNumbers {
  readonly packetsPerSecond: number
  readonly bytesPerSecond: number
  /** The highest within the last hour. */
  readonly peakPacketsPerSecond: number
  readonly peakBytesPerSecond: number
}

interface Look extends Carried {
  readonly atMs: number
}

const NONE = { packets: 0, bytes: 0 }

export class Throughput {
  /** Oldest first. */
  readonly #looks: Look[] = []
  readonly #minutes: Carried[] = [NONE]
  #minuteFromMs = -Infinity
  #now: Carried = NONE

  /** To be called once a second. @param nowMs monotonic */
  look(nowMs: number, carried: Carried): void {
    this.#looks.push({ atMs: nowMs, ...carried })
    if (this.#looks.length > WINDOW_LOOKS + 1) this.#looks.shift()
    const oldest = this.#looks[0]
    if (oldest === undefined || nowMs <= oldest.atMs) return
    const perSecond = (read: (from: Carried) => number): number =>
      (1_000 * Math.max(0, read(carried) - read(oldest))) / (nowMs - oldest.atMs)
    this.#now = { packets: perSecond(({ packets }) => packets), bytes: perSecond(({ bytes }) => bytes) }
    // The first looks after the start are means of less than the window.
    if (this.#looks.length > WINDOW_LOOKS) this.#notePeak(nowMs)
  }

  read(): ThroughputNumbers {
    const peak = (read: (minute: Carried) => number): number => Math.max(...this.#minutes.map(read))
    return {
      packetsPerSecond: this.#now.packets,
      bytesPerSecond: this.#now.bytes,
      peakPacketsPerSecond: peak(({ packets }) => packets),
      peakBytesPerSecond: peak(({ bytes }) => bytes),
    }
  }

  #notePeak(nowMs: number): void {
    if (nowMs - this.#minuteFromMs >= MINUTE_MS) {
      this.#minuteFromMs = nowMs
      this.#minutes.push(NONE)
      if (this.#minutes.length > PEAK_MINUTES) this.#minutes.shift()
    }
    const last = this.#minutes.pop() ?? NONE
    this.#minutes.push({
      packets: Math.max(last.packets, this.#now.packets),
      bytes: Math.max(last.bytes, this.#now.bytes),
    })
  }
}
