// Datagrams that leave in one call of the kernel (UDP_SEGMENT): those of one turn of the event loop that are for one address and have the
// same length; the last one may be shorter. A call for each would be most of what a packet costs. Not the socket, and not the call.
//
// Contract: the order stays, but for packets of a call that has failed. No packet waits for longer than the turn. What the kernel does not
// take is lost, as with any UDP.

export interface DatagramBatchParts {
  /** Sends the packets in one call. Where that fails, and they are several, `failed` is to be called. */
  send(packets: readonly Uint8Array[], host: string, port: number): void
  /** From now on a longer call is divided so; 0: none is. Returns whether the kernel does it. */
  setDatagramBytes(bytes: number): boolean
  /** So many packets are lost: the kernel has not taken earlier ones yet, and would divide all of them alike. */
  lost(packets: number): void
  /** Calls back at the end of the turn. */
  later(callback: () => void): void
  /** Monotonic milliseconds. */
  now(): number
}

/** Of one call: the kernel's limit … */
const PACKETS_MAX = 64
/** … and UDP's, over IPv4. */
const BYTES_MAX = 65_507
/** A way by an interface that cannot divide, or with a smaller MTU, needs a call for each packet. The next way may be another one. */
const SINGLE_MS = 60_000

export class DatagramBatch {
  readonly #parts: DatagramBatchParts
  #packets: Uint8Array[] = []
  #bytes = 0
  #host = ''
  #port = 0
  /** As the kernel divides now; 0: not at all. */
  #dividedBytes = 0
  #isTurnEnding = false
  #singleUntilMs = Number.NEGATIVE_INFINITY

  constructor(parts: DatagramBatchParts) {
    this.#parts = parts
  }

  /** Takes a packet, which must not change any more. */
  add(packet: Uint8Array, host: string, port: number): void {
    if (!this.#fits(packet, host, port)) this.flush()
    this.#packets.push(packet)
    this.#bytes += packet.length
    this.#host = host
    this.#port = port
    if (this.#isTurnEnding) return
    this.#isTurnEnding = true
    this.#parts.later(this.#endTurn)
  }

  readonly #endTurn = (): void => {
    this.#isTurnEnding = false
    this.flush()
  }

  #fits(packet: Uint8Array, host: string, port: number): boolean {
    const [first] = this.#packets
    if (first === undefined) return true
    // Only the last one may be shorter.
    const isOpen = this.#bytes === first.length * this.#packets.length
    return (
      isOpen &&
      packet.length > 0 &&
      packet.length <= first.length &&
      port === this.#port &&
      host === this.#host &&
      this.#packets.length < PACKETS_MAX &&
      this.#bytes + packet.length <= BYTES_MAX
    )
  }

  flush(): void {
    const packets = this.#packets
    const [first] = packets
    if (first === undefined) return
    this.#packets = []
    this.#bytes = 0
    const { length } = first
    const isTogether =
      packets.length > 1 && this.#parts.now() >= this.#singleUntilMs && this.#setDivision(length)
    if (isTogether) this.#parts.send(packets, this.#host, this.#port)
    else this.#sendSingle(packets, this.#host, this.#port)
  }

  /** A call with several packets has failed: each gets its own, and so do those of the next minute. */
  failed(packets: readonly Uint8Array[], host: string, port: number): void {
    this.#singleUntilMs = this.#parts.now() + SINGLE_MS
    this.#sendSingle(packets, host, port)
  }

  #sendSingle(packets: readonly Uint8Array[], host: string, port: number): void {
    // With a division, the kernel fragments nothing, also what is shorter.
    if (this.#setDivision(0)) for (const packet of packets) this.#parts.send([packet], host, port)
    else this.#parts.lost(packets.length)
  }

  #setDivision(bytes: number): boolean {
    if (bytes === this.#dividedBytes) return true
    if (!this.#parts.setDatagramBytes(bytes)) return false
    this.#dividedBytes = bytes
    return true
  }
}
