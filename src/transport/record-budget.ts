// What a TLS connection may send that brings no data: key updates, alerts, empty records, attempts to negotiate again. Each
// costs up to a hundred times what it costs to send, so a remote that sends little else is ended. TLS tells of no such
// record; so its bytes are told by the difference between what TCP has read and what TLS has made of it. Looked at now
// and then, nothing is done per record.

/** Of each record with data: its header, tag and type, and room for ten key updates, or padding, beside it. */
const BYTES_BESIDE_DATA = 256
/**
 * A record of the full size may be here but for its last byte, so it must be more than that; the rest is 600 key updates, 17 ms
 * of work, for as many bytes as 30 hellos have, which are as much work.
 */
const BUDGET_BYTES = 32_768
/** Half a key update: nobody renews keys by the clock, but who does so by the minute shall not fail after a day. */
const REFILL_BYTES_PER_SECOND = 16

export class RecordBudget {
  #spentBytes = 0
  /** Of the last look. */
  #restBytes = 0
  #lookedAtMs: number

  constructor(nowMs: number) {
    this.#lookedAtMs = nowMs
  }

  /**
   * Whether too much has come that is no data.
   * @param restBytes read of TCP and not handed on as data so far: the rest of all records
   * @param records with data, since the last look
   */
  isExceeded(restBytes: number, records: number, nowMs: number): boolean {
    const added = restBytes - this.#restBytes - records * BYTES_BESIDE_DATA
    const refill = ((nowMs - this.#lookedAtMs) / 1_000) * REFILL_BYTES_PER_SECOND
    this.#restBytes = restBytes
    this.#lookedAtMs = nowMs
    this.#spentBytes = Math.max(0, this.#spentBytes + added - refill)
    return this.#spentBytes > BUDGET_BYTES
  }
}
