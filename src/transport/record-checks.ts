// When the records of TLS connections are looked at for those that bring no data (record-budget.ts): within half a second after
// any have arrived, a part of the connections at a time. Idle connections, the most by far, are not touched.

export interface CheckedConnection {
  /** Ends the connection if too many of its records bring no data. It is looked at once for each time that it was noted. */
  checkRecords(nowMs: number): void
}

/** Those that were noted before are looked at in so many sweeps, and until then others are noted. */
const SWEEPS_PER_ROUND = 4
/** In a sweep that is so late that something must have kept the thread busy, all are looked at. */
const LATE_SWEEP_MS = 100

export class RecordChecks {
  #noted: CheckedConnection[] = []
  /** Of this round. */
  #due: readonly CheckedConnection[] = []
  #checked = 0
  #sweptMs: number

  constructor(nowMs: number) {
    this.#sweptMs = nowMs
  }

  /** Records of `connection` have arrived, or may have. */
  note(connection: CheckedConnection): void {
    this.#noted.push(connection)
  }

  /** To be called about sixteen times a second. */
  sweep(nowMs: number): void {
    const isLate = nowMs - this.#sweptMs >= LATE_SWEEP_MS
    this.#sweptMs = nowMs
    if (this.#checked === this.#due.length) this.#beginRound()
    const partMax = isLate ? Infinity : Math.ceil(this.#due.length / SWEEPS_PER_ROUND)
    this.#check(partMax, nowMs)
    if (!isLate) return
    this.#beginRound()
    this.#check(Infinity, nowMs)
  }

  #beginRound(): void {
    this.#due = this.#noted
    this.#noted = []
    this.#checked = 0
  }

  #check(countMax: number, nowMs: number): void {
    const end = Math.min(this.#due.length, this.#checked + countMax)
    while (this.#checked < end) this.#due[this.#checked++]?.checkRecords(nowMs)
  }
}
