// Packets for one port of this host that leave in one call of the kernel (UDP_SEGMENT): those of one turn of the event loop that have the same
// length; the last one may be shorter. A call for each would be most of what a packet costs here.
//
// Contract: the order stays. No packet waits for longer than the turn. What the kernel does not take is lost, as with any UDP.

/** What of a socket is used. */
export interface BatchSocket {
  /** Sends the packets as one call. */
  send(packets: readonly Uint8Array[], port: number): void
  /** From now on a longer call is divided so. Returns whether the kernel does it. */
  setDatagramBytes(bytes: number): boolean
}

/** Of one call: the kernel's limit … */
const PACKETS_MAX = 64
/** … and UDP's, over IPv4. */
const BYTES_MAX = 65_507

export class DatagramBatch {
  readonly #socket: BatchSocket
  #packets: Uint8Array[] = []
  #bytes = 0
  #port = 0
  /** As the kernel divides now; 0: not at all. */
  #dividedBytes = 0
  #isTurnEnding = false

  constructor(socket: BatchSocket) {
    this.#socket = socket
  }

  /** Takes a packet, which must not change any more. */
  add(packet: Uint8Array, port: number): void {
    if (!this.#fits(packet, port)) this.flush()
    this.#packets.push(packet)
    this.#bytes += packet.length
    this.#port = port
    if (this.#isTurnEnding) return
    this.#isTurnEnding = true
    setImmediate(() => {
      this.#isTurnEnding = false
      this.flush()
    })
  }

  #fits(packet: Uint8Array, port: number): boolean {
    const [first] = this.#packets
    if (first === undefined) return true
    // Only the last one may be shorter.
    const isOpen = this.#bytes === first.length * this.#packets.length
    return (
      isOpen &&
      packet.length > 0 &&
      packet.length <= first.length &&
      port === this.#port &&
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
    if (this.#setDivision(packets.length === 1 ? 0 : first.length, first.length))
      this.#socket.send(packets, this.#port)
    else if (first.length <= (this.#dividedBytes || BYTES_MAX))
      for (const packet of packets) this.#socket.send([packet], this.#port)
  }

  /** @param bytes 0: one packet of `length`, which must stay whole */
  #setDivision(bytes: number, length: number): boolean {
    const isWhole = bytes === 0 && length <= this.#dividedBytes
    if (isWhole || bytes === this.#dividedBytes) return true
    if (!this.#socket.setDatagramBytes(bytes)) return false
    this.#dividedBytes = bytes
    return true
  }
}
