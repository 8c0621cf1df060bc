// A key directory that all relays of a test share, in place of NATS: answers take a while, and a relay may be cut off
// from it, as from the servers.

import { toHex } from '#protocol/bytes.ts'
import type { KeyDirectory, KeyLocation } from '#mesh/key-directory.ts'
import type { FakeClock } from './fake-clock.ts'

/** There and back. */
const ANSWER_MS = 20

export class FakeDirectoryServer {
  readonly clock: FakeClock
  /** As NATS has them: to its servers and from them. */
  messageCount = 0
  /** The relays that have each key, the last to announce it last. */
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
    // A subscription, and the word that the key has moved.
    this.messageCount += 2
    this.#tell(id, home.name)
  }

  /** Its relay says so. */
  withdraw(id: string, home: FakeDirectory): void {
    this.messageCount += 2
    this.remove(id, home)
    this.#tell(id, undefined)
  }

  remove(id: string, home: FakeDirectory): void {
    const others = (this.#homes.get(id) ?? []).filter((one) => one !== home)
    if (others.length === 0) this.#homes.delete(id)
    else this.#homes.set(id, others)
  }

  find(id: string, asker: FakeDirectory): string | undefined {
    return (this.#homes.get(id) ?? []).findLast((home) => home !== asker)?.name
  }

  watch(id: string, moved: (relay: string | undefined) => void): () => void {
    this.messageCount++
    const watchers = this.#watchers.get(id) ?? new Set()
    this.#watchers.set(id, watchers.add(moved))
    return () => watchers.delete(moved)
  }

  #tell(id: string, relay: string | undefined): void {
    for (const moved of this.#watchers.get(id) ?? []) {
      this.messageCount++
      moved(relay)
    }
  }
}

/** What one relay has of it. */
export class FakeDirectory implements KeyDirectory {
  readonly name: string
  readonly #server: FakeDirectoryServer
  readonly #announced = new Map<string, Uint8Array>()
  #isAway = false
  /** Questions asked so far. */
  questionCount = 0

  constructor(name: string, server: FakeDirectoryServer) {
    this.name = name
    this.#server = server
  }

  /** Cut off from the servers, which forget what it announced; back, it announces everything again. */
  set isAway(isAway: boolean) {
    if (isAway === this.#isAway) return
    this.#isAway = isAway
    for (const id of this.#announced.keys()) {
      if (isAway) this.#server.remove(id, this)
      else this.#server.add(id, this)
    }
  }

  announce(key: Uint8Array): void {
    const id = toHex(key)
    this.#announced.set(id, key)
    if (!this.#isAway) this.#server.add(id, this)
  }

  withdraw(key: Uint8Array): void {
    const id = toHex(key)
    this.#announced.delete(id)
    if (!this.#isAway) this.#server.withdraw(id, this)
  }

  locate(key: Uint8Array, found: (where: KeyLocation) => void): void {
    this.questionCount++
    if (this.#isAway) return found({ kind: 'unknown' })
    // To the server and on to the relay that has it, and back.
    this.#server.messageCount += 4
    this.#server.clock.later(ANSWER_MS, () => {
      const relay = this.#server.find(toHex(key), this)
      found(relay === undefined ? { kind: 'nowhere' } : { kind: 'at', relay })
    })
  }

  watch(key: Uint8Array, moved: (relay: string | undefined) => void): () => void {
    return this.#server.watch(toHex(key), (relay) => {
      if (!this.#isAway && relay !== this.name) moved(relay)
    })
  }
}
