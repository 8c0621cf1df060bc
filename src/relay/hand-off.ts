// Packets for keys that have just left because a relay drains, this one or a sibling: held for a moment, and sent once to
// where the key is when it comes back. While a key is away, its peer's route is its Departure, so the packet path finds
// the hand-off where it would find a sibling, and nothing here costs anything outside a drain. Knows neither sessions nor
// siblings; when a key has left or is back is said by `peer-table.ts`.
//
// Contract: a packet is held for at most HOLD_MS and one sweep, then sent on or dropped and counted. A packet that a
// sibling forwarded never gets here.

import { writeU32 } from '#protocol/bytes.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import { Counter, type Counters } from './counters.ts'
import { DropReason, type PacketKind } from './drop-reason.ts'
import type { Peer } from './peer.ts'
import type { AddressedPacket, ForwardTarget } from './ports.ts'

/** A client that redials at once is back after four round trips; a packet any later has been sent again. */
const HOLD_MS = 500
/** Tailscale's clients wait 1.5 s for a relay that does not answer, and then dial the next one of the region. */
const AWAY_MS_MAX = 3_000
/** Held for one key: half a second at four megabits, and as many small packets. */
const KEY_PACKETS_MAX = 256
const KEY_HELD_BYTES_MAX = 262_144
/** Held by one thread: a quarter second of 20,000 packets a second, if all their destinations were away at once. */
const HELD_PACKETS_MAX = 16_384
const HELD_BYTES_MAX = 16_777_216

/** A packet that waits for its destination to come back. */
export interface HeldPacket {
  /** As a SendPacket frame: its key is the destination's. */
  readonly frame: Buffer
  readonly sourceKey: Uint8Array
  readonly kind: PacketKind
  readonly sinceMs: number
}

export interface HandOffParts {
  readonly counters: Counters
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Sends a packet to where its destination is now. */
  readonly handOn: (destination: Peer, held: HeldPacket) => void
  /** The key did not come back: its peer has no route any more. */
  readonly giveUp: (peer: Peer) => void
}

/** The route of a key that has left and is expected back. */
export class Departure implements ForwardTarget {
  readonly peer: Peer
  readonly sinceMs: number
  readonly isDraining = false
  /** Oldest first. */
  packets: HeldPacket[] = []
  heldBytes = 0
  readonly #handOff: HandOff

  constructor(peer: Peer, sinceMs: number, handOff: HandOff) {
    this.peer = peer
    this.sinceMs = sinceMs
    this.#handOff = handOff
  }

  forward(packet: AddressedPacket, sourceKey: Uint8Array, nowMs: number): void {
    this.#handOff.hold(this, packet, sourceKey, nowMs)
  }
}

export class HandOff {
  readonly #parts: HandOffParts
  /** Longest away first. Each is a peer of the table; that bounds their number. */
  readonly #departures = new Set<Departure>()
  #packets = 0
  #bytes = 0
  #haveComeBack = false
  /** This relay drains, until it stops. */
  isDraining = false
  /** Until when another run of this relay on the host drains, at most: its clients come back to this one. */
  #otherRunDrainsUntilMs = -Infinity
  /** Until when a sibling drains. */
  #siblingDrainsUntilMs = -Infinity

  constructor(parts: HandOffParts) {
    this.#parts = parts
  }

  /** Packets that are held. */
  get heldPackets(): number {
    return this.#packets
  }

  /** A sibling drains now. */
  get hasDrainingSibling(): boolean {
    return this.#parts.now() < this.#siblingDrainsUntilMs
  }

  /** For how long another run of this relay still drains, at most. */
  get otherRunDrainsForMs(): number {
    return Math.max(0, Math.ceil(this.#otherRunDrainsUntilMs - this.#parts.now()))
  }

  /** Another run of this relay drains for so long at most. */
  otherRunDrains(forMs: number): void {
    this.#otherRunDrainsUntilMs = this.#parts.now() + forMs
  }

  /** A sibling drains for so long: its clients are expected at other relays. */
  siblingDrains(forMs: number): void {
    const untilMs = this.#parts.now() + forMs
    this.#siblingDrainsUntilMs = Math.max(this.#siblingDrainsUntilMs, untilMs)
  }

  /** The route of a key whose last session here has ended; undefined if it is not expected back. */
  leftHere(peer: Peer): Departure | undefined {
    return this.isDraining || this.otherRunDrainsForMs > 0 ? this.#depart(peer) : undefined
  }

  /** The route of a key that is no longer at a sibling, `from`; undefined if it is not expected back. */
  leftSibling(peer: Peer, from: ForwardTarget | undefined): Departure | undefined {
    const isExpected = from?.isDraining ?? this.hasDrainingSibling
    return isExpected ? this.#depart(peer) : undefined
  }

  /**
   * Keys that are on their way back: they have left no longer ago than packets are held for them. 0 as long as none has come
   * back at all, as in a fleet of one relay.
   */
  onTheirWay(nowMs: number): number {
    let count = 0
    if (!this.#haveComeBack) return count
    for (const { sinceMs } of this.#departures) if (nowMs - sinceMs <= HOLD_MS) count++
    return count
  }

  hold(departure: Departure, packet: AddressedPacket, sourceKey: Uint8Array, nowMs: number): void {
    const frameBytes = HEADER_BYTES + packet.end - packet.start
    while (!this.#hasRoom(departure, frameBytes)) {
      if (departure.packets.length === 0) return this.#countDrop(packet, DropReason.handOffQueue)
      this.#dropOldest(departure, DropReason.handOffQueue)
    }
    const frame = Buffer.allocUnsafe(frameBytes)
    frame[0] = FrameType.sendPacket
    writeU32(frame, 1, frameBytes - HEADER_BYTES)
    packet.buffer.copy(frame, HEADER_BYTES, packet.start, packet.end)
    departure.packets.push({ frame, sourceKey: new Uint8Array(sourceKey), kind: packet.kind, sinceMs: nowMs })
    departure.heldBytes += frameBytes
    this.#count(frameBytes, 1)
    this.#parts.counters.add(Counter.handOffHeld, 1)
  }

  /** The key is back, and its peer says where: what was held for it is sent there. */
  release(departure: Departure): void {
    const { counters, handOn } = this.#parts
    const { packets, peer } = departure
    this.#haveComeBack = true
    this.#departures.delete(departure)
    departure.packets = []
    for (const held of packets) {
      this.#count(held.frame.length, -1)
      counters.add(Counter.handOffSent, 1)
      handOn(peer, held)
    }
  }

  /** To be called several times a second. */
  sweep(nowMs: number): void {
    for (const departure of this.#departures) {
      const isOver = nowMs - departure.sinceMs > AWAY_MS_MAX
      const oldestMs = isOver ? Infinity : nowMs - HOLD_MS
      while ((departure.packets[0]?.sinceMs ?? Infinity) < oldestMs) {
        this.#dropOldest(departure, DropReason.handOffTimeout)
      }
      if (!isOver) continue
      this.#departures.delete(departure)
      this.#parts.giveUp(departure.peer)
    }
  }

  #depart(peer: Peer): Departure {
    const departure = new Departure(peer, this.#parts.now(), this)
    this.#departures.add(departure)
    return departure
  }

  #hasRoom({ packets, heldBytes }: Departure, frameBytes: number): boolean {
    return (
      packets.length < KEY_PACKETS_MAX &&
      heldBytes + frameBytes <= KEY_HELD_BYTES_MAX &&
      this.#packets < HELD_PACKETS_MAX &&
      this.#bytes + frameBytes <= HELD_BYTES_MAX
    )
  }

  #dropOldest(departure: Departure, reason: DropReason): void {
    const oldest = departure.packets.shift()
    if (oldest === undefined) return
    const { frame, kind } = oldest
    departure.heldBytes -= frame.length
    this.#count(frame.length, -1)
    this.#parts.counters.countDrop(reason, kind, frame.length - HEADER_BYTES - KEY_BYTES)
  }

  #countDrop({ kind, packetAt, end }: AddressedPacket, reason: DropReason): void {
    this.#parts.counters.countDrop(reason, kind, end - packetAt)
  }

  /** A held packet waits as one in an outbox does, so it counts as queued. */
  #count(frameBytes: number, by: 1 | -1): void {
    const { counters } = this.#parts
    this.#packets += by
    this.#bytes += by * frameBytes
    counters.add(Counter.queuedPackets, by)
    counters.add(Counter.queuedBytes, by * frameBytes)
  }
}
