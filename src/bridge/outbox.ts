// What waits to leave for the relay: a short queue for each peer, whose oldest packets go first when it is full, since a VPN
// wants a packet soon or not at all. The peers take turns, so that one that sends much does not hold up the others. Packets of
// one turn of the event loop leave in one write.

import type { OutgoingPacket } from '#client/derp-client.ts'

/** The relay's client, as far as the outbox needs it. */
export interface RelayLink {
  readonly isConnected: boolean
  readonly queuedBytes: number
  sendAll(packets: readonly OutgoingPacket[]): boolean
  drained(): Promise<void>
}

/** At most so much waits behind the queues: what Node's sockets take at once. */
const LINK_BYTES_MAX = 65_536
/** Packets that are taken from the queues at once. */
const BATCH_BYTES_MAX = 65_536

/** The queue of one peer. */
export class PeerQueue {
  readonly #bytesMax: number
  #packets: OutgoingPacket[] = []
  #head = 0
  #bytes = 0
  /** Packets that were dropped because newer ones came. */
  dropped = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Takes a packet, which must not change any more. */
  push(packet: OutgoingPacket): void {
    this.#packets.push(packet)
    this.#bytes += packet.packet.length
    while (this.#bytes > this.#bytesMax && this.#packets.length - this.#head > 1) {
      this.shift()
      this.dropped++
    }
  }

  shift(): OutgoingPacket | undefined {
    const packet = this.#packets[this.#head]
    if (packet === undefined) return undefined
    this.#bytes -= packet.packet.length
    this.#head++
    if (this.#head === this.#packets.length || this.#head > 1_024) {
      this.#packets = this.#packets.slice(this.#head)
      this.#head = 0
    }
    return packet
  }

  clear(): void {
    this.dropped += this.#packets.length - this.#head
    this.#packets = []
    this.#head = 0
    this.#bytes = 0
  }
}

export class Outbox {
  readonly #link: () => RelayLink | undefined
  readonly #queues = new Set<PeerQueue>()
  #isFlushing = false

  /** @param link the connection of now, if there is one */
  constructor(link: () => RelayLink | undefined) {
    this.#link = link
  }

  /** Takes a packet for a peer. */
  offer(queue: PeerQueue, packet: OutgoingPacket): void {
    queue.push(packet)
    this.#queues.add(queue)
    if (this.#isFlushing) return
    this.#isFlushing = true
    setImmediate(() => this.#flush())
  }

  #flush(): void {
    this.#isFlushing = false
    const link = this.#link()
    if (link === undefined || !link.isConnected) return this.#dropAll()
    while (this.#queues.size > 0 && link.queuedBytes < LINK_BYTES_MAX) link.sendAll(this.#batch())
    if (this.#queues.size === 0) return
    this.#isFlushing = true
    const again = (): void => void setImmediate(() => this.#flush())
    link.drained().then(again, again)
  }

  /** One packet of each peer in turn. */
  #batch(): readonly OutgoingPacket[] {
    const batch: OutgoingPacket[] = []
    let bytes = 0
    while (this.#queues.size > 0 && bytes < BATCH_BYTES_MAX) {
      for (const queue of this.#queues) {
        const packet = queue.shift()
        if (packet === undefined) {
          this.#queues.delete(queue)
          continue
        }
        batch.push(packet)
        bytes += packet.packet.length
      }
    }
    return batch
  }

  #dropAll(): void {
    for (const queue of this.#queues) queue.clear()
    this.#queues.clear()
  }
}
