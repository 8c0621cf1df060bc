// A relay without sockets: one or several relay threads within this thread, linked by real rings, under a clock that
// the test moves. Everything is synchronous: `settle` does what the transport and the system would do until nothing is
// left to do. A thread reads what others have written when it is woken, as real ones do.

import { NO_ADDRESS_RULES, NO_BUDGETS } from '#protocol/relay-limits.ts'
import { ipToBytes } from '#protocol/ip-address.ts'
import type { KicksFrom } from '#protocol/kicks-from.ts'
import { Counters, type PlainCounter } from '#relay/counters.ts'
import { DROP_REASON_LABELS, DropReason, PacketKind } from '#relay/drop-reason.ts'
import { ThreadLinks } from '#interthread/thread-links.ts'
import { ThreadMemories, type BridgeMemory, type ThreadMemory } from '#interthread/thread-memory.ts'
import {
  NO_ROUTES,
  type Admission,
  type AdmissionAnswer,
  type PendingAdmission,
  type Routes,
  type SessionEnd,
  type SessionStart,
  type TenantRoster,
} from '#relay/ports.ts'
import { Relay } from '#relay/relay.ts'
import type { SessionLimits } from '#relay/session-limits.ts'
import { SingleThread } from '#relay/single-thread.ts'
import { sha256 } from '../vectors/hex.ts'
import * as keys from '../vectors/keys.ts'
import { type Actor, server } from './actor.ts'
import { FakeClock } from './fake-clock.ts'
import { FakeLink } from './fake-link.ts'
import { MemoryClient } from './memory-client.ts'

/** The default settings. */
export const defaultLimits: SessionLimits = {
  outboxBytesMax: 524_288,
  outboxPacketsMax: Infinity,
  waitingBytesMax: Infinity,
  writeTimeoutMs: 2_000,
  rate: undefined,
  budgets: NO_BUDGETS,
  addresses: NO_ADDRESS_RULES,
  keepAlive: { minMs: 60_000, maxMs: 65_000 },
  tcpUserTimeoutMs: 15_000,
}

/** An answer of admission. */
export const answer = (isAllowed: boolean): AdmissionAnswer => ({
  result: isAllowed ? 'allowed' : 'denied',
  reason: '',
})

/** A request that can't be cancelled. */
export const noCancel: PendingAdmission = { cancel: () => undefined }

/** Gives the same answer to every request. */
export const admit = (isAllowed: boolean): Admission => ({
  ask: (_request, decide) => {
    decide(answer(isAllowed))
    return noCancel
  },
})

export const admitAll = admit(true)

export interface TestRelayOptions {
  readonly threads?: number
  /** It may be linked with another run. */
  readonly isRun?: boolean
  readonly limits?: Partial<SessionLimits>
  /** The relay has no mesh key. */
  readonly isWithoutMesh?: boolean
  readonly disallowedAppNames?: readonly string[]
  /** Siblings that may end clients; undefined: all. */
  readonly kicksFrom?: KicksFrom
  readonly admission?: Admission
  readonly routes?: Routes
  readonly homeChanged?: (key: Uint8Array, isHome: boolean) => void
  readonly relayState?: (key: Uint8Array, state: Uint8Array) => void
  /** The actor whose key the relay has. */
  readonly server?: Actor
  /** Identifies this run of the relay. */
  readonly instance?: string
  readonly clock?: FakeClock
}

export interface ConnectOptions {
  readonly thread?: number
  readonly ip?: string
  readonly port?: number
  readonly idealNode?: string
  readonly wantsAnswer?: boolean
  readonly isWebSocket?: boolean
}

interface TestThread {
  readonly relay: Relay
  /** Undefined in a relay of one thread. */
  readonly threadLinks: ThreadLinks | undefined
  readonly counters: Counters
  isFlushAsked: boolean
  /** How often the relay has asked to be flushed. */
  flushAskCount: number
  /** Wakes so far, each followed by a read. */
  wakeCount: number
  /** It is busy with something else, and does not read although it is woken. */
  isStuck: boolean
  /** Killed, and not started again. */
  isDead: boolean
}

/** The interval between calls of `sweep`. */
export const SWEEP_EVERY_MS = 125

export class TestRelay {
  readonly clock: FakeClock
  readonly server: Actor
  /** Called by clients: lets everything settle that they may have caused. */
  settleAll: () => void = () => this.settle()
  readonly threads: TestThread[] = []
  /** What the observer was told. */
  readonly ends: SessionEnd[] = []
  readonly starts: SessionStart[] = []
  readonly bans: { readonly reason: string; readonly forMs: number }[] = []
  readonly #options: TestRelayOptions
  readonly #memories: ThreadMemories | undefined
  readonly #linksWithWork = new Set<FakeLink>()
  /** Callbacks for the next turn of the threads' loops. */
  #nextTurn: (() => void)[] = []
  readonly #linksOf = new Map<Relay, FakeLink[]>()
  #tenants: TenantRoster | undefined = undefined
  #clientCount = 0
  #randomCount = 0

  constructor(options: TestRelayOptions = {}) {
    const count = options.threads ?? 1
    this.#memories = count === 1 && options.isRun !== true ? undefined : new ThreadMemories()
    this.#options = options
    this.clock = options.clock ?? new FakeClock()
    this.server = options.server ?? server
    for (let index = 0; index < count; index++) this.startThread(index)
  }

  /** Starts a thread, for the first time or again; the others are told. */
  startThread(index: number): void {
    const joining = this.#memories?.join(index)
    const counters = this.threads[index]?.counters ?? new Counters()
    const thread = this.#makeThread(joining?.memory, counters)
    thread.relay.setTenants(this.#tenants)
    this.threads[index] = thread
    for (const { to, link } of joining?.others ?? []) {
      this.links(to).link(link)
      this.links(to).startSync(index)
    }
  }

  /** A thread dies at any point of its work; its connections break, and the other threads are told. */
  killThread(index: number): void {
    const dead = this.thread(index)
    dead.isDead = true
    for (const link of this.#linksOf.get(dead.relay) ?? []) link.breakOff()
    this.#memories?.leave(index)
    dead.counters.endOfThread()
    for (const { threadLinks, isDead } of this.threads) if (!isDead) threadLinks?.threadEnded(index)
  }

  /** Another run of this relay joins, or leaves. */
  openRun(threadCount: number): BridgeMemory {
    for (const { to, link } of this.#memories?.openRun(threadCount) ?? []) {
      this.links(to).link(link)
      this.links(to).startSync(link.thread)
    }
    const bridge = this.#memories?.bridge
    if (bridge === undefined) throw new Error('this relay is no run')
    return bridge
  }

  closeRun(): void {
    for (const thread of this.#memories?.closeRun() ?? []) {
      for (const { threadLinks } of this.threads) threadLinks?.threadEnded(thread)
    }
  }

  /** Counts activity on from a run before this one. */
  startAfter(earlier: TestRelay): void {
    this.#memories?.startAfter(earlier.#memories?.activity ?? 0)
  }

  /** Keeps these tenants apart, on threads that start later as well. */
  setTenants(roster: TenantRoster | undefined): void {
    this.#tenants = roster
    for (const { relay, isDead } of this.threads) if (!isDead) relay.setTenants(roster)
  }

  /** A connection after its HTTP upgrade; ServerKey is on its way. */
  connect(actor: Actor, options: ConnectOptions = {}): MemoryClient {
    const port = options.port ?? 40_000 + this.#clientCount++
    const wantsAnswer = options.wantsAnswer ?? false
    const link = this.accept({ ...options, port }, (bytes) => client.receive(bytes))
    const client = new MemoryClient(actor, link, {
      server: this.server,
      wantsAnswer,
      settle: () => this.settleAll(),
    })
    return client
  }

  /** The relay's end of a connection after its HTTP upgrade; `received` is given the bytes that the relay writes. */
  accept(options: ConnectOptions & { readonly port: number }, received: (bytes: Buffer) => void): FakeLink {
    const remote = { ip: ipToBytes(options.ip ?? '192.0.2.1'), port: options.port }
    const link = new FakeLink(remote, options.isWebSocket ?? false, {
      received,
      hasWork: (one) => this.#linksWithWork.add(one),
    })
    link.isCopying = options.port % 2 === 0
    const { relay } = this.thread(options.thread ?? 0)
    const { wantsAnswer = false, idealNode = '' } = options
    link.attach(relay.accept({ link, wantsAnswer, idealNode }))
    this.#linksOf.get(relay)?.push(link)
    return link
  }

  /** A client that has logged in and read its ServerInfo. */
  join(actor: Actor, options: ConnectOptions = {}): MemoryClient {
    const client = this.connect(actor, options).logIn()
    client.take()
    return client
  }

  /** A sibling that has logged in with the mesh key and read its ServerInfo; not watching yet. */
  joinSibling(actor: Actor, options: ConnectOptions = {}): MemoryClient {
    const client = this.connect(actor, options).logIn({ meshKey: keys.meshKey })
    client.take()
    return client
  }

  thread(index: number): TestThread {
    const thread = this.threads[index]
    if (thread === undefined) throw new Error(`there is no thread ${index}`)
    return thread
  }

  /** A thread's way to the others. */
  links(index: number): ThreadLinks {
    const { threadLinks } = this.thread(index)
    if (threadLinks === undefined) throw new Error('this relay has one thread')
    return threadLinks
  }

  /** Lets threads flush and read, and links take and deliver bytes, until nothing is left to do. */
  settle(): void {
    while (this.work());
  }

  /** One round of that. Returns false if there was nothing to do. */
  work(): boolean {
    const nextTurn = this.#nextTurn
    this.#nextTurn = []
    for (const callback of nextTurn) callback()
    let isBusy = nextTurn.length > 0
    for (const thread of this.threads) isBusy = this.#turn(thread) || isBusy
    if (this.#linksWithWork.size === 0) return isBusy
    const links = [...this.#linksWithWork]
    this.#linksWithWork.clear()
    for (const link of links) link.work()
    return true
  }

  /** Lets time pass, with the sweeps that are due; everything settles after each. */
  pass(ms: number): void {
    this.settle()
    for (let left = ms; left > 0; left -= SWEEP_EVERY_MS) {
      this.clock.advance(Math.min(left, SWEEP_EVERY_MS))
      this.sweep()
      this.settle()
    }
  }

  sweep(): void {
    for (const { relay, isDead } of this.threads) if (!isDead) relay.sweep()
  }

  /** A counter, summed over the threads. */
  count(name: PlainCounter): number {
    return this.threads.reduce((sum, { counters }) => sum + counters.get(name), 0)
  }

  /** Dropped packets by reason and kind, those that are not zero. */
  get drops(): Record<string, number> {
    const drops: Record<string, number> = {}
    for (const reason of Object.values(DropReason)) {
      for (const [label, kind] of Object.entries(PacketKind)) {
        const dropped = this.threads.reduce((sum, one) => sum + one.counters.droppedPackets(reason, kind), 0)
        if (dropped > 0) drops[`${DROP_REASON_LABELS[reason]} ${label}`] = dropped
      }
    }
    return drops
  }

  /** Why the last session ended. */
  get lastEnd(): string | undefined {
    return this.ends.at(-1)?.reason
  }

  #turn(thread: TestThread): boolean {
    if (thread.isDead) return false
    let isBusy = false
    if (thread.isFlushAsked) {
      thread.isFlushAsked = false
      thread.relay.flushQueue.flush()
      isBusy = true
    }
    const wakeCount = thread.threadLinks?.wakeup.count() ?? 0
    if (wakeCount !== thread.wakeCount && !thread.isStuck) {
      thread.wakeCount = wakeCount
      thread.threadLinks?.read()
      isBusy = true
    }
    return isBusy
  }

  #makeThread(memory: ThreadMemory | undefined, counters: Counters): TestThread {
    const options = this.#options
    const threadLinks = memory && new ThreadLinks(memory, this.clock.now)
    const relay = new Relay({
      nodeKey: { privateKey: this.server.privateKey, publicKey: this.server.key },
      instance: options.instance,
      meshKeys: options.isWithoutMesh === true ? [] : [keys.meshKey],
      disallowedAppNames: options.disallowedAppNames ?? [],
      kicksFrom: options.kicksFrom ?? 'siblings',
      limits: { ...defaultLimits, ...options.limits },
      counters,
      admission: options.admission ?? admitAll,
      observer: {
        sessionStarted: (start) => this.starts.push(start),
        sessionEnded: (end) => this.ends.push(end),
        addressBanned: (_ip, reason, forMs) => this.bans.push({ reason, forMs }),
        roundTripRead: () => undefined,
        homeChanged: options.homeChanged ?? (() => undefined),
        relayState: options.relayState ?? (() => undefined),
      },
      routes: options.routes ?? NO_ROUTES,
      now: this.clock.now,
      random: (bytes) => sha256(`random ${this.#randomCount++}`).subarray(0, bytes),
      later: (delayMs, callback) => {
        if (delayMs === 0) this.#nextTurn.push(callback)
        else this.clock.later(delayMs, callback)
      },
      flushLater: () => {
        thread.isFlushAsked = true
        thread.flushAskCount++
      },
      threads: threadLinks ?? new SingleThread(),
    })
    const thread: TestThread = {
      relay,
      threadLinks,
      counters,
      isFlushAsked: false,
      flushAskCount: 0,
      wakeCount: 0,
      isStuck: false,
      isDead: false,
    }
    this.#linksOf.set(relay, [])
    return thread
  }
}
