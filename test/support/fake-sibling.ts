// A fake sibling at the far end of one sibling link: the test sends its frames, reads the link's, and passes time.

import { BoxSecret } from '#protocol/box.ts'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { FrameReader, FrameAction } from '#protocol/frame-reader.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { peerPresentFrame, pongFrame } from '#protocol/frames.ts'
import { openClientInfo, serverInfoFrame, type ClientInfo } from '#protocol/handshake.ts'
import type { SiblingStream, DialHandler } from '#mesh/dial.ts'
import { RouteTable } from '#mesh/route-table.ts'
import { SiblingLink, type DuplicateSibling } from '#mesh/sibling-link.ts'
import { Outbox } from '#relay/outbox.ts'
import { Counters } from '#relay/counters.ts'
import type { AddressedPacket } from '#relay/ports.ts'
import { actor, type Actor } from './actor.ts'
import { FakeClock } from './fake-clock.ts'
import { sha256 } from '../vectors/hex.ts'
import { MemoryBudget } from '#relay/memory-budget.ts'
import { meshKey } from '../vectors/keys.ts'

/** The link's limit of keys from the sibling. */
export const KEYS_MAX = 5
/** The relay that has the link, and the sibling. */
export const [self, other] = [actor('self'), actor('other')]

export class FakeSibling {
  readonly clock = new FakeClock()
  readonly routeTable = new RouteTable(1, () => undefined)
  readonly link: SiblingLink
  /** The frames that the link has written; the test removes those that it has read. */
  readonly written: { type: number; payload: Buffer }[] = []
  dials = 0
  cuts = 0
  isStalled = false
  /** The meaning of the sibling's key, if it is a duplicate. */
  duplicate: DuplicateSibling | undefined = undefined
  handler: DialHandler | undefined = undefined
  readonly #isInside: boolean
  #due: (() => void)[] = []

  /** How long the sibling has said that it drains. */
  readonly drains: number[] = []

  constructor({ isInside = true, isWatched = true } = {}) {
    this.#isInside = isInside
    const pool = new BufferPool()
    const counters = new Counters()
    const address = { name: 'other', host: 'other.lab', port: 443, dialHost: undefined, certName: undefined }
    this.link = new SiblingLink({ ...address, isInside, isWatched, nodes: ['other'] }, 0, {
      owner: {
        isDuplicate: () => this.duplicate !== undefined,
        identify: () => this.duplicate,
        changed: () => undefined,
      },
      identity: {
        name: 'self.lab',
        instance: 'this run',
        publicKey: self.key,
        secret: new BoxSecret(self.privateKey),
      },
      meshKey: () => meshKey,
      siblingDrains: (forMs) => this.drains.push(forMs),
      answered: () => undefined,
      dial: (_address, handler) => this.#dial(handler),
      routeTable: this.routeTable,
      makeOutbox: () =>
        Outbox.forSibling({
          memoryBudget: MemoryBudget.unbounded(),
          pool,
          counters,
          limits: { outboxBytesMax: 100_000, outboxPacketsMax: Infinity },
        }),
      keysMax: KEYS_MAX,
      now: this.clock.now,
      random: (bytes) => sha256('random').subarray(0, bytes),
      later: this.clock.later,
      flushSoon: (one) => this.#due.push(() => one.flush()),
    })
    this.link.open()
  }

  /** Presents the sibling's key and reads the login. */
  greet(): { info: ClientInfo; frames: number[]; pings: Buffer[] } {
    const greeting = this.handler?.greet(other.key) ?? new Uint8Array(0)
    this.#read(Buffer.from(greeting))
    const [login, ...more] = this.written.splice(0)
    const info = openClientInfo(login?.payload ?? Buffer.alloc(0), other.boxWith(self))
    if (typeof info === 'string') throw new Error(info)
    const pings = more.filter(({ type }) => type === FrameType.ping).map(({ payload }) => payload)
    return { info, frames: more.map(({ type }) => type), pings }
  }

  /**
   * Completes the login and sends presence of these clients. As a real relay does, it also reports the watcher itself,
   * except to one that asked for home keys alone.
   */
  up(...present: Actor[]): this {
    const ping = this.greet().pings[0] ?? Buffer.alloc(8)
    this.prove()
    for (const actor of this.#isInside ? [self, ...present] : present) this.present(actor.key)
    this.send(pongFrame(ping))
    this.turn()
    return this
  }

  /** Proves the sibling's key by ServerInfo. */
  prove(): void {
    this.send(serverInfoFrame(other.boxWith(self), sha256('nonce').subarray(0, 24)))
  }

  present(key: Uint8Array): void {
    this.send(peerPresentFrame({ key, ip: new Uint8Array(16), port: 0, flags: 0, appName: undefined }))
  }

  send(frame: Uint8Array): void {
    const buffer = Buffer.from(frame)
    this.handler?.onFrame(buffer[0] ?? 0, buffer, 5, buffer.length)
  }

  end(why: string): void {
    this.handler?.onClosed(why)
  }

  turn(): void {
    for (const flush of this.#due.splice(0)) flush()
  }

  pass(ms: number): void {
    for (let left = ms; left > 0; left -= 500) {
      this.clock.advance(Math.min(left, 500))
      this.link.sweep(this.clock.now())
      this.turn()
    }
  }

  hasRouteTo(actor: Actor): boolean {
    return this.routeTable.find(actor.key, 0) === this.link
  }

  #dial(handler: DialHandler): SiblingStream {
    this.dials++
    this.handler = handler
    return {
      write: (bytes, isLast) => {
        this.#read(Buffer.from(bytes))
        if (isLast && !this.isStalled) this.#due.push(() => handler.written())
        return false
      },
      destroy: () => {
        this.cuts++
        this.end('cut')
      },
    }
  }

  #read(bytes: Buffer): void {
    const sink = {
      onHeader: () => FrameAction.accept,
      onFrame: (type: number, buffer: Buffer, start: number, end: number) => {
        this.written.push({ type, payload: Buffer.from(buffer.subarray(start, end)) })
        return true
      },
    }
    new FrameReader(sink, new BufferPool()).feed(bytes, 0, bytes.length)
  }
}

export function addressed(to: Actor, bytes: number): AddressedPacket {
  const buffer = Buffer.concat([to.key, Buffer.alloc(bytes)])
  return { buffer, start: 0, packetAt: 32, end: buffer.length, kind: 0, isForwarded: false }
}
