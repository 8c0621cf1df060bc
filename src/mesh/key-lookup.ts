// Finds the relay for a key that nobody here knows of, where a key directory is there to be asked: holds the first
// packets for it meanwhile, within limits, and remembers for a while what was found and what was not. One for each
// relay thread; the directory itself may be another thread's.
//
// Contract: a packet that is held leaves or is dropped, counted, within HOLD_MS_MAX and a sweep.

import { toHex } from '#protocol/bytes.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import { Counter, type Counters } from '#relay/counters.ts'
import { DropReason, type PacketKind } from '#relay/drop-reason.ts'
import type { AddressedPacket, LookupOwner } from '#relay/ports.ts'
import type { KeyLocation } from './key-directory.ts'
import type { RankedSibling, RouteTable } from './route-table.ts'

/** What a tunnel's handshake sends before it waits for an answer. */
const HELD_PACKETS_MAX = 8
const HELD_BYTES_MAX = 16_384
/** Later, the packet has been sent again. */
const HOLD_MS_MAX = 200
/** Most keys that are nowhere are peers that sleep, and are asked for again and again. */
const NOWHERE_MS = 3_000
/** The directory could not say: it is away, or has too much to do, and gets no more to do by being asked for each packet. */
const UNKNOWN_MS = 500
/** A key that has moved on is found out by its relay's answer; this is for the rest. */
const LOCATED_MS = 300_000
/** Keys that are looked for at once, not to be found, or located. A scan over all keys must not fill the memory. */
const SOUGHT_MAX = 1_000
const NOWHERE_MAX = 20_000
const LOCATED_MAX = 100_000
/** Of the frame that a held packet arrived in. */
const FRAME_OVERHEAD_BYTES = HEADER_BYTES + KEY_BYTES

/** A sibling that may have to be dialled first. */
export interface DialableSibling extends RankedSibling {
  readonly isUp: boolean
  /** Dials, unless that is under way. */
  wake(): void
}

export interface KeyLookupParts {
  /** Asks the directory; `located` is to be called with the answer. */
  readonly ask: (key: Uint8Array) => void
  /** The member of that name; undefined if there is none. */
  readonly sibling: (name: string) => DialableSibling | undefined
  readonly routeTable: RouteTable
  readonly counters: Counters
}

interface QueuedPacket {
  readonly bytes: Buffer
  readonly sourceKey: Uint8Array
  readonly kind: PacketKind
}

interface PendingLookup {
  readonly key: Uint8Array
  readonly sinceMs: number
  readonly held: QueuedPacket[]
  heldBytes: number
  /** Found; its link is not up yet. */
  sibling: DialableSibling | undefined
}

interface CachedLocation {
  readonly key: Uint8Array
  readonly sibling: DialableSibling
  readonly sinceMs: number
}

export class KeyLookup {
  readonly #parts: KeyLookupParts
  readonly #sought = new Map<string, PendingLookup>()
  /** Until when each is not asked for again; who was found to be nowhere last comes last. */
  readonly #nowhere = new Map<string, number>()
  /** The oldest first. */
  readonly #located = new Map<string, CachedLocation>()

  constructor(parts: KeyLookupParts) {
    this.#parts = parts
  }

  /** Takes a packet over for a key without a route. False: there is nothing to be hoped for. */
  lookUp(packet: AddressedPacket, asker: LookupOwner, nowMs: number): boolean {
    const key = packet.buffer.subarray(packet.start, packet.start + KEY_BYTES)
    const id = toHex(key)
    let sought = this.#sought.get(id)
    if (sought === undefined) {
      if (this.#isNowhere(id, nowMs) || this.#sought.size >= SOUGHT_MAX || !asker.mayLookUp(nowMs))
        return false
      sought = { key: new Uint8Array(key), sinceMs: nowMs, held: [], heldBytes: 0, sibling: undefined }
      this.#sought.set(id, sought)
      this.#hold(sought, packet, asker.key)
      this.#parts.ask(sought.key)
    } else {
      this.#hold(sought, packet, asker.key)
    }
    return true
  }

  /** The directory's answer. */
  located(key: Uint8Array, where: KeyLocation, nowMs: number): void {
    const id = toHex(key)
    if (where.kind === 'unknown') return this.#notSaid(id, nowMs)
    const sibling = where.kind === 'at' ? this.#parts.sibling(where.relay) : undefined
    const sought = this.#sought.get(id)
    if (sibling === undefined) return this.#notFound(id, sought, nowMs)
    this.#nowhere.delete(id)
    if (sibling.isUp) return this.#found(id, key, sibling, nowMs)
    sibling.wake()
    if (sought !== undefined) sought.sibling = sibling
  }

  /** To be called several times a second. */
  sweep(nowMs: number): void {
    for (const [id, sought] of this.#sought) {
      const { sibling, key } = sought
      if (sibling?.isUp === true) this.#found(id, key, sibling, nowMs)
      else if (nowMs - sought.sinceMs > HOLD_MS_MAX) this.#giveUp(id, sought, DropReason.lookupTimeout)
    }
    for (const [id, located] of this.#located) {
      if (nowMs - located.sinceMs <= LOCATED_MS) break
      // Asked again rather than forgotten: somebody may be talking to it. Until there is an answer it stays as it is.
      this.#located.delete(id)
      this.#located.set(id, { ...located, sinceMs: nowMs })
      this.#parts.ask(located.key)
    }
  }

  #isNowhere(id: string, nowMs: number): boolean {
    const untilMs = this.#nowhere.get(id)
    if (untilMs === undefined) return false
    if (nowMs < untilMs) return true
    this.#nowhere.delete(id)
    return false
  }

  #notFound(id: string, sought: PendingLookup | undefined, nowMs: number): void {
    this.#forget(id)
    this.#rest(id, nowMs + NOWHERE_MS)
    if (sought !== undefined) this.#giveUp(id, sought, DropReason.unknownDestination)
  }

  /** What is known stays; what is not is asked for again. */
  #notSaid(id: string, nowMs: number): void {
    const sought = this.#sought.get(id)
    if (sought === undefined || sought.sibling !== undefined) return
    this.#rest(id, nowMs + UNKNOWN_MS)
    this.#giveUp(id, sought, DropReason.lookupTimeout)
  }

  #rest(id: string, untilMs: number): void {
    this.#nowhere.delete(id)
    this.#nowhere.set(id, untilMs)
    const [oldest] = this.#nowhere.keys()
    if (this.#nowhere.size > NOWHERE_MAX && oldest !== undefined) this.#nowhere.delete(oldest)
  }

  #forget(id: string): void {
    const known = this.#located.get(id)
    this.#located.delete(id)
    if (known !== undefined) this.#parts.routeTable.remove(known.key, 0, known.sibling)
  }

  #found(id: string, key: Uint8Array, sibling: DialableSibling, nowMs: number): void {
    const { routeTable, counters } = this.#parts
    const known = this.#located.get(id)
    this.#located.delete(id)
    routeTable.add(key, 0, sibling)
    this.#located.set(id, { key, sibling, sinceMs: nowMs })
    const [oldest] = this.#located.keys()
    if (this.#located.size > LOCATED_MAX && oldest !== undefined) this.#forget(oldest)
    if (known !== undefined && known.sibling !== sibling) routeTable.remove(known.key, 0, known.sibling)
    const sought = this.#sought.get(id)
    if (sought === undefined) return
    this.#sought.delete(id)
    for (const { bytes, sourceKey, kind } of sought.held) {
      this.#uncount(bytes)
      const packet = { buffer: bytes, start: 0, packetAt: KEY_BYTES, end: bytes.length, kind }
      sibling.forward(packet, sourceKey, nowMs)
    }
    counters.add(Counter.lookupsFound, 1)
  }

  #giveUp(id: string, sought: PendingLookup, reason: DropReason): void {
    const { counters } = this.#parts
    this.#sought.delete(id)
    for (const { bytes, kind } of sought.held) {
      this.#uncount(bytes)
      counters.countDrop(reason, kind, bytes.length - KEY_BYTES)
    }
    counters.add(Counter.lookupsFailed, 1)
  }

  #hold(
    sought: PendingLookup,
    { buffer, start, packetAt, end, kind }: AddressedPacket,
    sourceKey: Uint8Array,
  ): void {
    const { counters } = this.#parts
    const byteCount = end - start
    if (sought.held.length >= HELD_PACKETS_MAX || sought.heldBytes + byteCount > HELD_BYTES_MAX) {
      counters.countDrop(DropReason.lookupQueue, kind, end - packetAt)
      return
    }
    sought.heldBytes += byteCount
    sought.held.push({ bytes: Buffer.from(buffer.subarray(start, end)), sourceKey, kind })
    counters.add(Counter.queuedPackets, 1)
    counters.add(Counter.queuedBytes, byteCount - KEY_BYTES + FRAME_OVERHEAD_BYTES)
  }

  #uncount(bytes: Buffer): void {
    this.#parts.counters.add(Counter.queuedPackets, -1)
    this.#parts.counters.add(Counter.queuedBytes, -(bytes.length - KEY_BYTES + FRAME_OVERHEAD_BYTES))
  }
}
