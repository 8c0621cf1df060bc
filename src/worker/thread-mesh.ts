// A relay thread's part in the mesh: its links to the siblings, its route table and its key lookup, and the reports on them
// to the control thread. Which siblings there are is told by the control thread. Runs on a relay thread.

import { randomBytes } from 'node:crypto'
import type { Sibling } from '#fleet/sibling.ts'
import type { HomeChange, LocationUpdate } from '#mesh/directory-client.ts'
import { KeyLookup } from '#mesh/key-lookup.ts'
import { RouteTable } from '#mesh/route-table.ts'
import { SiblingLink } from '#mesh/sibling-link.ts'
import { Siblings } from '#mesh/siblings.ts'
import { BoxSecret } from '#protocol/box.ts'
import { readU32 } from '#protocol/bytes.ts'
import { relayStateFrame } from '#protocol/frames.ts'
import { RELAY_STATE_BYTES_MAX } from '#protocol/limits.ts'
import type { Counters } from '#relay/counters.ts'
import type { MeasuredClient } from '#relay/ports.ts'
import type { Relay } from '#relay/relay.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'
import { later, now } from './clock.ts'
import { HOME_HERE, type ClientHome } from './round-trip-batch.ts'
import { loadNative } from '#transport/native.ts'
import { siblingDialler } from './sibling-dial.ts'
import { SiblingKeys } from './sibling-keys.ts'
import type { FromRelayThread, RelayThreadData } from './thread-messages.ts'

/** Keys of one sibling: ten times the number that one relay has been measured with. */
const SIBLING_KEYS_MAX = 100_000
/** Bytes that wait for one sibling: a tenth of a second at a gigabit. */
const SIBLING_OUTBOX_BYTES = 16_777_216

/** Of siblings to what this relay has asked; a few siblings answer once for each request of an operator. */
const ANSWERS_PER_SECOND = 2
const ANSWERS_BURST = 20

export interface ThreadMeshParts {
  readonly data: RelayThreadData
  /** Distinguishes this run of the relay from any other. */
  readonly instance: string
  readonly counters: Counters
  /** The relay of this thread, which is constructed with `routes`. */
  readonly relay: () => Relay
  /** Sends a message to the control thread. */
  readonly send: (message: FromRelayThread) => void
}

export class ThreadMesh {
  readonly routes: RouteTable
  readonly #parts: ThreadMeshParts
  /** Undefined without a mesh key. */
  readonly #siblings: Siblings | undefined
  /** Undefined without a mesh key, and on other threads than the first. */
  readonly #siblingKeys: SiblingKeys | undefined
  /** Undefined without a key directory. */
  readonly #keyLookup: KeyLookup | undefined
  #meshKeys: readonly Uint8Array[]
  /** The edition of the list of siblings; zero before the first list. */
  #edition = 0
  #haveLinksChanged = false
  /** Waiting for the next sweep. */
  #homeChanges: HomeChange[] = []
  /** This thread's share of the relay's rate; below 1, clients are closed once in several seconds. */
  #rebalancePerSecond: number
  #rebalanceCredit = 0
  readonly #answers = new TokenBucket(ANSWERS_PER_SECOND, ANSWERS_BURST, now())

  constructor(parts: ThreadMeshParts) {
    this.#parts = parts
    const { counters, data, relay, send } = parts
    const { mesh, meshKeys, threadCount } = data.settings
    this.#meshKeys = meshKeys
    this.#rebalancePerSecond = mesh.rebalancePerSecond / threadCount
    // Each thread has its own link to every sibling, and all see the same.
    const isFirst = data.threads.index === 0
    this.#siblingKeys = isFirst && meshKeys.length > 0 ? new SiblingKeys() : undefined
    const routeTable = new RouteTable(readU32(randomBytes(4), 0), (bytes, at, route) => {
      relay().routeListener.routeChanged(bytes, at, route)
      if (route !== undefined) this.#siblingKeys?.note(bytes, at)
    })
    routeTable.onLost = (keys) => this.#siblingKeys?.noteAll(keys)
    this.routes = routeTable
    this.#siblings = meshKeys.length === 0 ? undefined : this.#makeSiblings()
    if (mesh.nats !== undefined) {
      this.#keyLookup = routeTable.lookup = new KeyLookup({
        locate: (key) => send({ kind: 'lookUpKey', key }),
        sibling: (name) => this.#siblings?.byName(name),
        routeTable,
        counters,
      })
    }
  }

  setSiblings(edition: number, siblings: readonly Sibling[]): void {
    this.#edition = edition
    this.#haveLinksChanged = true
    this.#siblings?.setSiblings(siblings)
  }

  /** Dials the siblings of these names, if they are not linked because they were not needed. */
  wake(names: readonly string[]): void {
    for (const name of names) this.#siblings?.byName(name)?.wake()
  }

  /** Tells the siblings of these names the state of this relay, where this thread's link is up. */
  tellState(names: readonly string[], state: Uint8Array): void {
    this.#siblings?.tellState(names, relayStateFrame(state))
  }

  /** The first key is used to log in to siblings from now on. */
  setMeshKeys(keys: readonly Uint8Array[]): void {
    this.#meshKeys = keys
  }

  /** Clients per second of the whole relay that are disconnected so that they return to their preferred relay. */
  setRebalancing(perSecond: number): void {
    this.#rebalancePerSecond = perSecond / this.#parts.data.settings.threadCount
  }

  located({ key, location }: LocationUpdate): void {
    this.#keyLookup?.located(key, location, now())
  }

  /** A client of this thread made this relay its home, or no longer does; for the key directory. */
  homeChanged(key: Uint8Array, isHome: boolean): void {
    if (this.#keyLookup !== undefined) this.#homeChanges.push({ key, isHome })
  }

  /**
   * Where a client is at home: here, at a sibling of another region, which tells of home clients only, or undefined where that
   * is not known.
   */
  homeOf({ key, isHome }: Pick<MeasuredClient, 'key' | 'isHome'>): ClientHome {
    if (isHome) return HOME_HERE
    const route = this.routes.find(key, 0)
    return route instanceof SiblingLink && !route.sibling.isInside ? route.sibling.name : undefined
  }

  /** Does what is due by time. @param isSecond true for about one call each second */
  sweep(isSecond: boolean): void {
    if (this.#siblings === undefined) return
    this.#siblings.sweep(now())
    this.#keyLookup?.sweep(now())
    if (this.#homeChanges.length > 0) {
      this.#parts.send({ kind: 'announceHomes', changes: this.#homeChanges.splice(0) })
    }
    if (isSecond) this.#rebalance(this.#siblings)
    if (isSecond) this.#reportKeys()
    if (isSecond || this.#haveLinksChanged) this.#report(this.#siblings)
  }

  #reportKeys(): void {
    const keys = this.#siblingKeys?.take()
    if (keys !== undefined) this.#parts.send({ kind: 'siblingKeys', keys })
  }

  /** Ends all links. What they have carried since the last report is reported. */
  close(): void {
    if (this.#siblings === undefined) return
    this.#report(this.#siblings)
    this.#siblings.close()
  }

  #makeSiblings(): Siblings {
    const { data, instance, relay, send } = this.#parts
    const { nodeKey, hostname } = data.settings
    const secret = new BoxSecret(nodeKey.privateKey)
    return new Siblings({
      identity: { name: hostname, instance, publicKey: nodeKey.publicKey, secret },
      meshKey: () => this.#meshKeys[0],
      dial: siblingDialler({
        ca: data.siblingAuthorities,
        isPlain: false,
        // The control thread has loaded and tested them, so a failure here is one of the program.
        native: data.hasNative ? loadNative() : undefined,
      }),
      routeTable: this.routes,
      makeOutbox: () =>
        relay().siblingOutbox({ outboxBytesMax: SIBLING_OUTBOX_BYTES, outboxPacketsMax: Infinity }),
      keysMax: SIBLING_KEYS_MAX,
      now,
      random: (bytes) => randomBytes(bytes),
      siblingDrains: (forMs) => relay().siblingDrains(forMs),
      later,
      answered: (key, state) => {
        if (!this.#answers.tryTake(1, now()) || state.length > RELAY_STATE_BYTES_MAX) return
        send({ kind: 'relayState', key: new Uint8Array(key), state: new Uint8Array(state) })
      },
      flushSoon: (one) => relay().flushQueue.addAfterRound(one),
      onChange: () => (this.#haveLinksChanged = true),
    })
  }

  #rebalance(siblings: Siblings): void {
    if (this.#rebalancePerSecond === 0) return
    this.#rebalanceCredit = (this.#rebalanceCredit % 1) + this.#rebalancePerSecond
    const count = Math.floor(this.#rebalanceCredit)
    if (count > 0) this.#parts.relay().rebalance(siblings.settledNodes(now()), count)
  }

  #report(siblings: Siblings): void {
    this.#haveLinksChanged = false
    this.#parts.send({ kind: 'linkReports', edition: this.#edition, links: siblings.reports() })
  }
}
