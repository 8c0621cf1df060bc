// Finds the sibling for a key that has no route, by the key directory. One for each relay thread; the directory itself
// is on the control thread. Queues the first packets for the key meanwhile, within limits, and caches what was found
// and what was not. The routes to a watched sibling are its presence's alone: they are neither added nor removed here.
//
// Contract: a queued packet is forwarded, or dropped and counted, within QUEUE_MS_MAX and one sweep.

import { toHex } from '#protocol/bytes.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import { Counter, type Counters } from '#relay/counters.ts'
import { DropReason, type PacketKind } from '#relay/drop-reason.ts'
import type { AddressedPacket, LookupOwner } from '#relay/ports.ts'
import type { KeyLocation } from './key-directory.ts'
import type { RankedSibling, RouteTable } from './route-table.ts'

/** Limits of one key's queue: the packets that a tunnel's handshake sends before it waits for an answer. */
const QUEUED_PACKETS_MAX = 8
const QUEUED_BYTES_MAX = 16_384
/** After this time the sender has sent the packet again. */
const QUEUE_MS_MAX = 200
/** Most keys that are nowhere belong to sleeping peers, and clients keep sending to them. */
const NOWHERE_MS = 3_000
/** The directory is unreachable or overloaded. A lookup for each packet would make it worse. */
const UNKNOWN_MS = 500
/** A key that has moved is noticed by its former relay's answer; this limit is for the other cases. */
const LOCATED_MS = 300_000
/** Lookups under way, keys without a location, and cached locations. A scan over all keys must not fill the memory. */
const PENDING_MAX = 1_000
const PAUSED_MAX = 20_000
const LOCATED_MAX = 100_000
/** Header and key of the frame in which a queued packet arrived. */
const FRAME_OVERHEAD_BYTES = HEADER_BYTES + KEY_BYTES

/** A sibling whose link may have to be dialled first. */
export interface DialableSibling extends RankedSibling {
  readonly isUp: boolean
  /** Its presence says which keys it has. It may have a key whose home, which the directory knows, is elsewhere. */
  readonly isWatched: boolean
  /** Dials, unless that is under way. */
  wake(): void
}

export interface KeyLookupParts {
  /** Asks the directory; the answer comes by `located`. */
  readonly locate: (key: Uint8Array) => void
  /** The sibling of that name; undefined if there is none. */
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
  readonly queue: QueuedPacket[]
  queuedBytes: number
  /** The location, as long as its link is not up yet. */
  sibling: DialableSibling | undefined
}

interface CachedLocation {
  readonly key: Uint8Array
  readonly sibling: DialableSibling
  readonly sinceMs: number
}

export class KeyLookup {
  readonly #parts: KeyLookupParts
  readonly #pending = new Map<string, PendingLookup>()
  /** Keys without a location, and the time before which none is looked up again; latest result last. */
  readonly #pausedUntilMs = new Map<string, number>()
  /** Oldest first. */
  readonly #located = new Map<string, CachedLocation>()

  constructor(parts: KeyLookupParts) {
    this.#parts = parts
  }

  /** Queues a packet for a key without a route. Returns false if a lookup is pointless or not allowed now. */
  lookUp(packet: AddressedPacket, owner: LookupOwner, nowMs: number): boolean {
    const key = packet.buffer.subarray(packet.start, packet.start + KEY_BYTES)
    const id = toHex(key)
    const pending = this.#pending.get(id)
    if (pending !== undefined) {
      this.#enqueue(pending, packet, owner.key)
      return true
    }
    if (this.#isPaused(id, nowMs) || this.#pending.size >= PENDING_MAX || !owner.mayLookUp(nowMs))
      return false
    const lookup: PendingLookup = {
      key: new Uint8Array(key),
      sinceMs: nowMs,
      queue: [],
      queuedBytes: 0,
      sibling: undefined,
    }
    this.#pending.set(id, lookup)
    this.#enqueue(lookup, packet, owner.key)
    this.#parts.locate(lookup.key)
    return true
  }

  /** The directory's answer, or a new location of a watched key. */
  located(key: Uint8Array, location: KeyLocation, nowMs: number): void {
    const id = toHex(key)
    if (location.kind === 'unknown') return this.#unknown(id, nowMs)
    const sibling = location.kind === 'at' ? this.#parts.sibling(location.relay) : undefined
    const pending = this.#pending.get(id)
    if (sibling === undefined) return this.#nowhere(id, pending, nowMs)
    this.#pausedUntilMs.delete(id)
    if (sibling.isUp) return this.#found(id, key, sibling, nowMs)
    sibling.wake()
    // The key has left where it was: the next packet waits for the link, rather than go there.
    if (this.#located.get(id)?.sibling !== sibling) this.#forget(id)
    if (pending !== undefined) pending.sibling = sibling
  }

  /** To be called several times a second. */
  sweep(nowMs: number): void {
    for (const [id, pending] of this.#pending) {
      const { sibling, key } = pending
      if (sibling?.isUp === true) this.#found(id, key, sibling, nowMs)
      else if (nowMs - pending.sinceMs > QUEUE_MS_MAX) this.#fail(id, pending, DropReason.lookupTimeout)
    }
    for (const [id, located] of this.#located) {
      if (nowMs - located.sinceMs <= LOCATED_MS) break
      // Looked up again rather than forgotten: the key may be in use. The route stays until there is an answer.
      this.#located.delete(id)
      this.#located.set(id, { ...located, sinceMs: nowMs })
      this.#parts.locate(located.key)
    }
  }

  #isPaused(id: string, nowMs: number): boolean {
    const untilMs = this.#pausedUntilMs.get(id)
    if (untilMs === undefined) return false
    if (nowMs < untilMs) return true
    this.#pausedUntilMs.delete(id)
    return false
  }

  #nowhere(id: string, pending: PendingLookup | undefined, nowMs: number): void {
    this.#forget(id)
    this.#pause(id, nowMs + NOWHERE_MS)
    if (pending !== undefined) this.#fail(id, pending, DropReason.unknownDestination)
  }

  /** A cached location stays; a key without one is looked up again soon. */
  #unknown(id: string, nowMs: number): void {
    const pending = this.#pending.get(id)
    if (pending === undefined || pending.sibling !== undefined) return
    this.#pause(id, nowMs + UNKNOWN_MS)
    this.#fail(id, pending, DropReason.lookupTimeout)
  }

  #pause(id: string, untilMs: number): void {
    this.#pausedUntilMs.delete(id)
    this.#pausedUntilMs.set(id, untilMs)
    const [oldest] = this.#pausedUntilMs.keys()
    if (this.#pausedUntilMs.size > PAUSED_MAX && oldest !== undefined) this.#pausedUntilMs.delete(oldest)
  }

  #forget(id: string): void {
    const former = this.#located.get(id)
    this.#located.delete(id)
    if (former !== undefined) this.#parts.routeTable.remove(former.key, 0, former.sibling)
  }

  #found(id: string, key: Uint8Array, sibling: DialableSibling, nowMs: number): void {
    if (sibling.isWatched) this.#forget(id)
    else this.#cache(id, { key, sibling, sinceMs: nowMs })
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    this.#pending.delete(id)
    for (const { bytes, sourceKey, kind } of pending.queue) {
      this.#uncount(bytes)
      const packet = {
        buffer: bytes,
        start: 0,
        packetAt: KEY_BYTES,
        end: bytes.length,
        kind,
        isForwarded: false,
      }
      sibling.forward(packet, sourceKey, nowMs)
    }
    this.#parts.counters.add(Counter.lookupsFound, 1)
  }

  #cache(id: string, location: CachedLocation): void {
    const { routeTable } = this.#parts
    const { key, sibling } = location
    const former = this.#located.get(id)
    this.#located.delete(id)
    routeTable.add(key, 0, sibling)
    this.#located.set(id, location)
    const [oldest] = this.#located.keys()
    if (this.#located.size > LOCATED_MAX && oldest !== undefined) this.#forget(oldest)
    if (former !== undefined && former.sibling !== sibling) routeTable.remove(former.key, 0, former.sibling)
  }

  #fail(id: string, pending: PendingLookup, reason: DropReason): void {
    const { counters } = this.#parts
    this.#pending.delete(id)
    for (const { bytes, kind } of pending.queue) {
      this.#uncount(bytes)
      counters.countDrop(reason, kind, bytes.length - KEY_BYTES)
    }
    counters.add(Counter.lookupsFailed, 1)
  }

  #enqueue(
    pending: PendingLookup,
    { buffer, start, packetAt, end, kind }: AddressedPacket,
    sourceKey: Uint8Array,
  ): void {
    const { counters } = this.#parts
    const byteCount = end - start
    if (pending.queue.length >= QUEUED_PACKETS_MAX || pending.queuedBytes + byteCount > QUEUED_BYTES_MAX) {
      counters.countDrop(DropReason.lookupQueue, kind, end - packetAt)
      return
    }
    pending.queuedBytes += byteCount
    pending.queue.push({ bytes: Buffer.from(buffer.subarray(start, end)), sourceKey, kind })
    counters.add(Counter.queuedPackets, 1)
    counters.add(Counter.queuedBytes, byteCount - KEY_BYTES + FRAME_OVERHEAD_BYTES)
  }

  #uncount(bytes: Buffer): void {
    this.#parts.counters.add(Counter.queuedPackets, -1)
    this.#parts.counters.add(Counter.queuedBytes, -(bytes.length - KEY_BYTES + FRAME_OVERHEAD_BYTES))
  }
}
