// A fake key directory that all relays of a test share, in place of NATS: answers take a while, and a relay may be unable
// to reach it.

import { toHex } from '#protocol/bytes.ts'
import type { KeyDirectory, KeyLocation } from '#mesh/key-directory.ts'
import type { FakeClock } from './fake-clock.ts'

/** Round trip of a lookup. */
const ANSWER_MS = 20

export class FakeDirectoryServer {
  readonly clock: FakeClock
  /** Messages to and from the servers, as NATS would send them. */
  messageCount = 0
  /** The relays that have each key; the latest to announce it is last. */
  readonly #homes = new Map<string, FakeDirectory[]>()
  readonly #watchers = new Map<string, Set<(relay: string | undefined) => void>>()

  constructor(clock: FakeClock) {
    this.clock = clock
  }

  open(name: string): FakeDirectory {
    return new FakeDirectory(name, this)
  }

  add(id: string, home: FakeDirectory): void {
    this.#homes.set(id, [...(this.#homes.get(id) ?? []).filter((one) => one !== home), home])
    // A subscription, and the message that the key has moved.
    this.messageCount += 2
    this.#notify(id, home.name)
  }

  /** The relay withdraws the key. */
  withdraw(id: string, home: FakeDirectory): void {
    this.messageCount += 2
    this.remove(id, home)
    this.#notify(id, undefined)
  }

  remove(id: string, home: FakeDirectory): void {
    const others = (this.#homes.get(id) ?? []).filter((one) => one !== home)
    if (others.length === 0) this.#homes.delete(id)
    else this.#homes.set(id, others)
  }

  find(id: string, requester: FakeDirectory): string | undefined {
    return (this.#homes.get(id) ?? []).findLast((home) => home !== requester)?.name
  }

  watch(id: string, moved: (relay: string | undefined) => void): () => void {
    this.messageCount++
    const watchers = this.#watchers.get(id) ?? new Set()
    this.#watchers.set(id, watchers.add(moved))
    return () => watchers.delete(moved)
  }

  #notify(id: string, relay: string | undefined): void {
    for (const moved of this.#watchers.get(id) ?? []) {
      this.messageCount++
      moved(relay)
    }
  }
}

/** One relay's connection to it. */
export class FakeDirectory implements KeyDirectory {
  readonly name: string
  readonly #server: FakeDirectoryServer
  readonly #announced = new Map<string, Uint8Array>()
  #isUnreachable = false
  lookupCount = 0

  constructor(name: string, server: FakeDirectoryServer) {
    this.name = name
    this.#server = server
  }

  /** Disconnected, the server forgets this relay's keys; connected again, the relay announces them all again. */
  set isUnreachable(isUnreachable: boolean) {
    if (isUnreachable === this.#isUnreachable) return
    this.#isUnreachable = isUnreachable
    for (const id of this.#announced.keys()) {
      if (isUnreachable) this.#server.remove(id, this)
      else this.#server.add(id, this)
    }
  }

  announce(key: Uint8Array): void {
    const id = toHex(key)
    this.#announced.set(id, key)
    if (!this.#isUnreachable) this.#server.add(id, this)
  }

  withdraw(key: Uint8Array): void {
    const id = toHex(key)
    this.#announced.delete(id)
    if (!this.#isUnreachable) this.#server.withdraw(id, this)
  }

  locate(key: Uint8Array, found: (location: KeyLocation) => void): void {
    this.lookupCount++
    if (this.#isUnreachable) return found({ kind: 'unknown' })
    // To the server and on to the relay that has it, and back.
    this.#server.messageCount += 4
    this.#server.clock.later(ANSWER_MS, () => {
      const relay = this.#server.find(toHex(key), this)
      found(relay === undefined ? { kind: 'nowhere' } : { kind: 'at', relay })
    })
  }

  watch(key: Uint8Array, moved: (relay: string | undefined) => void): () => void {
    return this.#server.watch(toHex(key), (relay) => {
      if (!this.#isUnreachable && relay !== this.name) moved(relay)
    })
  }
}
