// Every packet of a simulation: its content, its sender and receiver, and whether it has arrived. Finds packets that
// arrive twice, changed, out of order, from the wrong sender or at the wrong receiver.

import { DISCO_AT, discoMagic, PacketBytes } from './packets.ts'
import type { Random } from './random.ts'

/** In place of a receiver: no session should receive it. */
export const NO_RECEIVER = -1

/** Sender and receiver of a packet, as numbers of sessions, and its source key, as the number of a peer. */
export interface Sent {
  readonly sender: number
  readonly source: number
  readonly receiver: number
}

export class Ledger {
  /** Packets sent so far; the next one's number. */
  count = 0
  deliveredCount = 0
  readonly #bytes = new PacketBytes()
  readonly #senderOf: Int32Array
  readonly #sourceOf: Int32Array
  readonly #receiverOf: Int32Array
  readonly #lengthOf: Int32Array
  readonly #isDelivered: Uint8Array
  /** The receiver may have left before the packet reached it. */
  readonly #isUncertain: Uint8Array
  /** Number of the last packet that arrived, by receiver, then by sender and lane. */
  readonly #lastOf = new Map<number, Map<number, number>>()

  constructor(packetsMax: number) {
    const numbers = (): Int32Array => new Int32Array(packetsMax)
    this.#senderOf = numbers()
    this.#sourceOf = numbers()
    this.#receiverOf = numbers()
    this.#lengthOf = numbers()
    this.#isDelivered = new Uint8Array(packetsMax)
    this.#isUncertain = new Uint8Array(packetsMax)
  }

  /** Notes the next packet, and writes it to `target` at `at`; returns its length in bytes. */
  send(sent: Sent, random: Random, target: Buffer, at: number): number {
    const id = this.count++
    const length = this.#bytes.write(id, random, target, at)
    this.#senderOf[id] = sent.sender
    this.#sourceOf[id] = sent.source
    this.#receiverOf[id] = sent.receiver
    this.#lengthOf[id] = length
    return length
  }

  /** A packet has arrived. Returns false if it did so at another session of its key, because the receiver had left. */
  receive(receiver: number, source: number, packet: Buffer): boolean {
    const isDisco = packet.length >= DISCO_AT && packet.subarray(0, 6).equals(discoMagic)
    const id = packet.readUInt32LE(isDisco ? DISCO_AT : 0)
    if (id >= this.count)
      throw new Error(`a packet arrived that was not sent: ${packet.toString('hex', 0, 80)}`)
    if (packet.length !== this.#lengthOf[id] || !this.#bytes.isIntact(id, isDisco, packet)) {
      throw new Error(`packet ${id} arrived changed`)
    }
    if (this.#isDelivered[id] === 1) throw new Error(`packet ${id} arrived twice`)
    if (this.#sourceOf[id] !== source) throw new Error(`packet ${id} arrived from key ${source}`)
    if (this.#receiverOf[id] !== receiver && this.#isUncertain[id] === 0) {
      throw new Error(`packet ${id} for ${this.#receiverOf[id]} arrived at ${receiver}`)
    }
    this.#isDelivered[id] = 1
    this.deliveredCount++
    this.#expectOrder(id, receiver, isDisco)
    return this.#receiverOf[id] === receiver
  }

  /** From packet `first` on, packets for `receiver` may be lost, or go to another session of its key. */
  markUncertain(first: number, receiver: number): void {
    for (let id = first; id < this.count; id++) {
      if (this.#receiverOf[id] === receiver) this.#isUncertain[id] = 1
    }
  }

  /** Expects all since packet `first` to have arrived, except those whose receiver takes nothing. */
  expectDelivered(first: number, takesNothing: (receiver: number) => boolean): void {
    for (let id = first; id < this.count; id++) {
      const receiver = this.#receiverOf[id] ?? NO_RECEIVER
      if (this.#isDelivered[id] === 1 || this.#isUncertain[id] === 1) continue
      if (receiver !== NO_RECEIVER && !takesNothing(receiver)) {
        throw new Error(`packet ${id} from ${this.#senderOf[id]} did not arrive at ${receiver}`)
      }
    }
  }

  /** The receiver has left. */
  forget(receiver: number): void {
    this.#lastOf.delete(receiver)
  }

  #expectOrder(id: number, receiver: number, isDisco: boolean): void {
    let lasts = this.#lastOf.get(receiver)
    if (lasts === undefined) this.#lastOf.set(receiver, (lasts = new Map()))
    const senderAndLane = 2 * (this.#senderOf[id] ?? 0) + (isDisco ? 1 : 0)
    const last = lasts.get(senderAndLane) ?? -1
    if (last > id) throw new Error(`packet ${id} arrived after packet ${last} of the same sender`)
    lasts.set(senderAndLane, id)
  }
}
