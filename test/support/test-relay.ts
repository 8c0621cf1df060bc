// A relay without sockets: one or several relay threads inside this one, joined by real crossings, under a clock that
// the test moves. Everything is synchronous: `settle` does what the transport and the system would do until nothing
// is left to do. Threads hear each other only when their bells have rung, as real ones do.

import { ipToBytes } from '#protocol/ip-address.ts'
import { Counters, type PlainCounter } from '#relay/counters.ts'
import { DROP_REASON_LABELS, DropReason, PacketKind } from '#relay/drop-reason.ts'
import { ThreadLinks } from '#interthread/thread-links.ts'
import { ThreadMemories, type ThreadMemory } from '#interthread/thread-memory.ts'
import {
  NO_ROUTES,
  type Admission,
  type AdmissionAnswer,
  type PendingAdmission,
  type Routes,
  type SessionEnd,
  type SessionStart,
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

/** What an operator gets who sets nothing. */
export const defaultLimits: SessionLimits = {
  outboxBytesMax: 524_288,
  outboxPacketsMax: Infinity,
  waitingBytesMax: Infinity,
  writeTimeoutMs: 2_000,
  rate: undefined,
  keepAlive: { minMs: 60_000, maxMs: 65_000 },
}

/** Whether somebody is let in, as admission says it. */
export const answer = (isAllowed: boolean): AdmissionAnswer => ({
  result: isAllowed ? 'allowed' : 'denied',
  reason: '',
})

/** What asking gives whom nobody can cancel. */
export const noCancel: PendingAdmission = { cancel: () => undefined }

/** Says the same of everybody. */
export const admit = (isAllowed: boolean): Admission => ({
  ask: (_request, decide) => {
    decide(answer(isAllowed))
    return noCancel
  },
})

export const admitAll = admit(true)

export interface TestRelayOptions {
  readonly threads?: number
  readonly limits?: Partial<SessionLimits>
  /** The relay has no mesh key. */
  readonly isWithoutMesh?: boolean
  readonly disallowedAppNames?: readonly string[]
  readonly admission?: Admission
  readonly routes?: Routes
  readonly homeChanged?: (key: Uint8Array, isHome: boolean) => void
  /** Whose key the relay has. */
  readonly server?: Actor
  /** Which run of a relay this is. */
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

interface WorkerHandle {
  readonly relay: Relay
  /** Undefined in a relay of one thread. */
  readonly threadLinks: ThreadLinks | undefined
  readonly counters: Counters
  isFlushAsked: boolean
  /** How often the relay has asked to be flushed. */
  flushAskCount: number
  /** Rings that were heard. */
  rungCount: number
  /** Its wakeup rings in vain: a thread that is busy with something else. */
  isDeaf: boolean
  /** Killed, and not started anew. */
  isDead: boolean
}

/** The transport calls `sweep` so often. */
export const SWEEP_EVERY_MS = 125

export class TestRelay {
  readonly clock: FakeClock
  readonly server: Actor
  /** Lets everything come to rest that a client's doings may have stirred. */
  settleAll: () => void = () => this.settle()
  readonly threads: WorkerHandle[] = []
  /** What the observer heard. */
  readonly ends: SessionEnd[] = []
  readonly starts: SessionStart[] = []
  readonly #options: TestRelayOptions
  readonly #neighbourhood: ThreadMemories | undefined
  readonly #stirred = new Set<FakeLink>()
  /** What threads do in the next turn of their loops. */
  #nextTurn: (() => void)[] = []
  readonly #linksOf = new Map<Relay, FakeLink[]>()
  #clientCount = 0
  #randomCount = 0

  constructor(options: TestRelayOptions = {}) {
    const count = options.threads ?? 1
    this.#neighbourhood = count === 1 ? undefined : new ThreadMemories()
    this.#options = options
    this.clock = options.clock ?? new FakeClock()
    this.server = options.server ?? server
    for (let index = 0; index < count; index++) this.startThread(index)
  }

  /** A thread begins, at first or anew, and those who are there are told. */
  startThread(index: number): void {
    const joining = this.#neighbourhood?.join(index)
    const counters = this.threads[index]?.counters ?? new Counters()
    this.threads[index] = this.#makeThread(joining?.memory, counters)
    for (const { to, link } of joining?.others ?? []) {
      this.links(to).link(link)
      this.links(to).startSync(index)
    }
  }

  /** A thread dies in the midst of whatever it was doing; its connections break, and those who are there are told. */
  killThread(index: number): void {
    const dead = this.thread(index)
    dead.isDead = true
    for (const link of this.#linksOf.get(dead.relay) ?? []) link.breakOff()
    this.#neighbourhood?.leave(index)
    dead.counters.endOfThread()
    for (const { threadLinks, isDead } of this.threads) if (!isDead) threadLinks?.threadEnded(index)
  }

  /** A connection that has got past HTTP; ServerKey is on its way. */
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

  /** The relay's end of a connection that has got past HTTP, and who receives what it writes. */
  accept(options: ConnectOptions & { readonly port: number }, received: (bytes: Buffer) => void): FakeLink {
    const remote = { ip: ipToBytes(options.ip ?? '192.0.2.1'), port: options.port }
    const link = new FakeLink(remote, options.isWebSocket ?? false, {
      received,
      stirred: (stirred) => this.#stirred.add(stirred),
    })
    link.isCopying = options.port % 2 === 0
    const { relay } = this.thread(options.thread ?? 0)
    const wish = { wantsAnswer: options.wantsAnswer ?? false, idealNode: options.idealNode ?? '' }
    link.attach(relay.accept({ link, ...wish }))
    this.#linksOf.get(relay)?.push(link)
    return link
  }

  /** A client that has logged in and whose greeting is read. */
  join(actor: Actor, options: ConnectOptions = {}): MemoryClient {
    const client = this.connect(actor, options).logIn()
    client.take()
    return client
  }

  /** A sibling that has logged in with the mesh key, its greeting read; not watching yet. */
  joinSibling(actor: Actor, options: ConnectOptions = {}): MemoryClient {
    const client = this.connect(actor, options).logIn({ meshKey: keys.meshKey })
    client.take()
    return client
  }

  thread(index: number): WorkerHandle {
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

  /** Lets threads flush and hear and links take and bring bytes until all is at rest. */
  settle(): void {
    while (this.work());
  }

  /** One round of that; false if there was nothing to do. */
  work(): boolean {
    const nextTurn = this.#nextTurn
    this.#nextTurn = []
    for (const callback of nextTurn) callback()
    let isBusy = nextTurn.length > 0
    for (const thread of this.threads) isBusy = this.#turn(thread) || isBusy
    if (this.#stirred.size === 0) return isBusy
    const links = [...this.#stirred]
    this.#stirred.clear()
    for (const link of links) link.work()
    return true
  }

  /** Lets time pass, with the sweeps that fall into it, and everything come to rest after each. */
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

  #turn(thread: WorkerHandle): boolean {
    if (thread.isDead) return false
    let isBusy = false
    if (thread.isFlushAsked) {
      thread.isFlushAsked = false
      thread.relay.flushQueue.flush()
      isBusy = true
    }
    const rungCount = thread.threadLinks?.wakeup.count() ?? 0
    if (rungCount !== thread.rungCount && !thread.isDeaf) {
      thread.rungCount = rungCount
      thread.threadLinks?.read()
      isBusy = true
    }
    return isBusy
  }

  #makeThread(memory: ThreadMemory | undefined, counters: Counters): WorkerHandle {
    const options = this.#options
    const threadLinks = memory && new ThreadLinks(memory, this.clock.now)
    const relay = new Relay({
      nodeKey: { privateKey: this.server.privateKey, publicKey: this.server.key },
      instance: options.instance,
      meshKeys: options.isWithoutMesh === true ? [] : [keys.meshKey],
      disallowedAppNames: options.disallowedAppNames ?? [],
      limits: { ...defaultLimits, ...options.limits },
      counters,
      admission: options.admission ?? admitAll,
      observer: {
        sessionStarted: (start) => this.starts.push(start),
        sessionEnded: (end) => this.ends.push(end),
        homeChanged: options.homeChanged ?? (() => undefined),
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
    const thread: WorkerHandle = {
      relay,
      threadLinks,
      counters,
      isFlushAsked: false,
      flushAskCount: 0,
      rungCount: 0,
      isDeaf: false,
      isDead: false,
    }
    this.#linksOf.set(relay, [])
    return thread
  }
}
