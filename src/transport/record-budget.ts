// Limits TLS records that bring no data: key updates, alerts, empty records, attempts to renegotiate. Each costs the relay up to
// a hundred times what it costs the remote to send, so a remote that sends little else is ended. TLS reports no such record;
// their bytes are the difference between what was read from TCP and what TLS has delivered as data. The difference is checked
// now and then, so nothing is done per record.

/** Bytes that a record with data may have besides: its header, tag and type, and room for ten key updates or for padding. */
const OVERHEAD_BYTES_PER_RECORD = 256
/**
 * More than a record of the full size, since one may be here except for its last byte. The rest is 600 key updates, 17 ms of
 * work: 30 TLS hellos are as many bytes and as much work.
 */
const BUDGET_BYTES = 32_768
/** Half a key update: no client renews keys on a timer, but one that does so every minute must not fail after a day. */
const REFILL_BYTES_PER_SECOND = 16

export class RecordBudget {
  #spentBytes = 0
  /** At the last check. */
  #overheadBytes = 0
  #checkedMs: number

  constructor(nowMs: number) {
    this.#checkedMs = nowMs
  }

  /**
   * Returns whether too much has arrived that is no data.
   * @param overheadBytes read from TCP and not delivered as data, since the connection began
   * @param records with data since the last check
   */
  isExceeded(overheadBytes: number, records: number, nowMs: number): boolean {
    const added = overheadBytes - this.#overheadBytes - records * OVERHEAD_BYTES_PER_RECORD
    const refill = ((nowMs - this.#checkedMs) / 1_000) * REFILL_BYTES_PER_SECOND
    this.#overheadBytes = overheadBytes
    this.#checkedMs = nowMs
    this.#spentBytes = Math.max(0, this.#spentBytes + added - refill)
    return this.#spentBytes > BUDGET_BYTES
  }
}
