// Datagrams on their way to a UDP socket. Where the kernel divides one call into many (UDP_SEGMENT), those of one turn of the event loop that
// are for one address and have the same length leave together; the last one may be shorter. A call for each would be most of what
// it costs. Not the socket, nor the kernel's option: both are passed in.
//
// Contract: the order stays, but for datagrams of a call that has failed. None waits here for longer than the turn. What the kernel
// does not take in time is lost and said to be.

import type { DatagramDivider } from './datagram-calls.ts'

/** Node's, as far as it is used here. */
export interface DatagramSocket {
  send(
    datagrams: readonly Uint8Array[],
    port: number,
    host: string,
    onSent: (error: Error | null) => void,
  ): void
  /** Calls that the kernel has not taken yet. */
  getSendQueueCount(): number
}

export interface DatagramOutboxParts {
  readonly socket: DatagramSocket
  /** Undefined: each datagram has a call of its own, at once. */
  readonly divider: DatagramDivider | undefined
  /** So many datagrams may wait for the kernel. Any more would be late. */
  readonly unsentMax: number
  /** Calls back at the end of the turn. */
  readonly later: (callback: () => void) => void
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** There was no room for a datagram. */
  readonly onFull?: () => void
  /** The system has refused one. */
  readonly onError?: () => void
}

/** Of one call: the kernel's limit … */
const TOGETHER_MAX = 64
/** … and UDP's, over IPv4. */
const BYTES_MAX = 65_507
/** A way by an interface that cannot divide, or with a smaller MTU, needs a call for each datagram. The next way may be another one. */
const SINGLE_MS = 60_000

export class DatagramOutbox {
  readonly #parts: DatagramOutboxParts
  #waiting: Uint8Array[] = []
  #waitingBytes = 0
  #host = ''
  #port = 0
  /** As the kernel divides now; 0: not at all. */
  #dividedBytes = 0
  #isTurnEnding = false
  #singleUntilMs = Number.NEGATIVE_INFINITY
  /** With the kernel. */
  #unsent = 0
  #isClosed = false

  constructor(parts: DatagramOutboxParts) {
    this.#parts = parts
  }

  /** Takes a datagram, which must not change any more. */
  send(datagram: Uint8Array, host: string, port: number): void {
    if (this.#isClosed) return
    if (this.#unsent >= this.#parts.unsentMax) return this.#parts.onFull?.()
    if (this.#parts.divider === undefined) return this.#give([datagram], host, port)
    if (!this.#fits(datagram, host, port)) this.#flush()
    this.#waiting.push(datagram)
    this.#waitingBytes += datagram.length
    this.#host = host
    this.#port = port
    if (this.#isTurnEnding) return
    this.#isTurnEnding = true
    this.#parts.later(this.#endTurn)
  }

  /** Before the socket is closed: gives it what waits, and takes nothing from now on. */
  close(): void {
    this.#flush()
    this.#isClosed = true
  }

  readonly #endTurn = (): void => {
    this.#isTurnEnding = false
    this.#flush()
  }

  #fits(datagram: Uint8Array, host: string, port: number): boolean {
    const [first] = this.#waiting
    if (first === undefined) return true
    // Only the last one may be shorter.
    const isOpen = this.#waitingBytes === first.length * this.#waiting.length
    return (
      isOpen &&
      datagram.length > 0 &&
      datagram.length <= first.length &&
      port === this.#port &&
      host === this.#host &&
      this.#waiting.length < TOGETHER_MAX &&
      this.#waitingBytes + datagram.length <= BYTES_MAX
    )
  }

  #flush(): void {
    const datagrams = this.#waiting
    const [first] = datagrams
    if (first === undefined || this.#isClosed) return
    this.#waiting = []
    this.#waitingBytes = 0
    const isTogether =
      datagrams.length > 1 && this.#parts.now() >= this.#singleUntilMs && this.#setDivision(first.length)
    if (isTogether) this.#give(datagrams, this.#host, this.#port)
    else this.#giveSingle(datagrams, this.#host, this.#port)
  }

  #giveSingle(datagrams: readonly Uint8Array[], host: string, port: number): void {
    // With a division, the kernel fragments nothing, also what is shorter.
    if (this.#setDivision(0)) for (const datagram of datagrams) this.#give([datagram], host, port)
    else for (let lost = 0; lost < datagrams.length; lost++) this.#parts.onFull?.()
  }

  #setDivision(bytes: number): boolean {
    const { divider, socket } = this.#parts
    if (bytes === this.#dividedBytes) return true
    // What the kernel has not taken yet would be divided so, too.
    if (socket.getSendQueueCount() > 0 || divider?.setDatagramBytes(bytes) !== true) return false
    this.#dividedBytes = bytes
    return true
  }

  #give(datagrams: readonly Uint8Array[], host: string, port: number): void {
    this.#unsent += datagrams.length
    this.#parts.socket.send(datagrams, port, host, (error) => {
      this.#unsent -= datagrams.length
      if (error === null || this.#isClosed) return
      if (datagrams.length === 1) return this.#parts.onError?.()
      this.#singleUntilMs = this.#parts.now() + SINGLE_MS
      this.#giveSingle(datagrams, host, port)
    })
  }
}
