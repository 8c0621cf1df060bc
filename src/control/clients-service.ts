// Who is here, for pages and commands: samples of all clients, taken when somebody asks and kept for a moment. Costs nothing while
// nobody asks. Runs on the control thread.
//
// Contract: however many ask, all clients are told of no more than every 300 ms.

import { setTimeout as sleep } from 'node:timers/promises'
import { clientList, type ClientList, type ClientQuery } from '#ops/client-list.ts'
import type { ClientsSource } from '#ops/client-pages.ts'
import type { DerperSource } from '#ops/derper-pages.ts'
import type { HealthCheck } from '#ops/health.ts'
import { TrafficStream } from '#ops/traffic-stream.ts'
import type { ClientSample, ClientSnapshot } from '#ops/client-snapshot.ts'
import type { ClientPart } from '#relay/client-part.ts'
import { yieldToPackets } from '#worker/thread-priority.ts'
import type { RelayAdmission } from './admission.ts'
import { ClientCollector } from './client-collector.ts'
import { consistencyProblems } from './consistency.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { Run } from './run.ts'
import type { ShownIdentity } from './shown-identity.ts'

/** Who asks again sees something new; many who ask at once cost no more than one. */
const KEPT_MS = 300
/** Rates are taken over this time if nobody has asked lately: an answer is there within a second. */
const FIRST_RATES_MS = 150
/** What was told longer ago says nothing of how fast clients are now. */
const RATES_MS_MAX = 10_000

/** Different questions about one sample; a list of ten thousand rows has some megabytes. */
const LISTS_MAX = 8

export interface ClientsParts {
  readonly threads: Pick<RelayThreads, 'send' | 'present' | 'count' | 'counters'>
  readonly isTls: boolean
  readonly run: Pick<Run, 'other'>
  readonly admission: HealthCheck & Pick<RelayAdmission, 'tenantOf'>
  readonly shown: ShownIdentity
}

export class ClientsService implements ClientsSource, DerperSource {
  readonly traffic = new TrafficStream(
    async () => (await this.sample()).now,
    () => this.isShownWhole,
  )
  readonly #parts: ClientsParts
  readonly #collector: ClientCollector
  #last: { readonly takenMs: number; readonly sample: ClientSample } | undefined = undefined
  #taking: Promise<ClientSample> | undefined = undefined
  #lists: { readonly of: ClientSample | undefined; readonly byQuery: Map<string, ClientList> } = {
    of: undefined,
    byQuery: new Map(),
  }
  #checking: Promise<readonly string[]> | undefined = undefined
  #forget: NodeJS.Timeout | undefined = undefined

  constructor(parts: ClientsParts) {
    this.#parts = parts
    this.#collector = new ClientCollector(parts.threads, {
      shown: parts.shown,
      tenantOf: (key) => parts.admission.tenantOf(key),
    })
  }

  get isShownWhole(): boolean {
    const { areKeysWhole, areAddressesWhole } = this.#parts.shown
    return areKeysWhole && areAddressesWhole
  }

  /** The same for all who ask the same of one sample: of ten thousand clients it takes some tens of milliseconds. */
  async list(query: ClientQuery): Promise<ClientList> {
    const sample = await this.sample()
    if (this.#lists.of !== sample) this.#lists = { of: sample, byQuery: new Map() }
    const { byQuery } = this.#lists
    const name = JSON.stringify(query)
    const known = byQuery.get(name)
    if (known !== undefined) return known
    const list = await yielding(() => clientList(sample, query, this.#parts.isTls))
    if (byQuery.size < LISTS_MAX) byQuery.set(name, list)
    return list
  }

  async sample(): Promise<ClientSample> {
    if (this.#last !== undefined && performance.now() - this.#last.takenMs < KEPT_MS) return this.#last.sample
    this.#taking ??= yielding(async () => await this.#take()).finally(() => (this.#taking = undefined))
    return await this.#taking
  }

  async problems(): Promise<readonly string[]> {
    const { threads, run, admission } = this.#parts
    this.#checking ??= consistencyProblems({
      counters: () => threads.counters,
      collect: async () => await this.#collector.collect(),
      hasOtherRun: () => run.other !== undefined,
      admission,
    }).finally(() => (this.#checking = undefined))
    return await this.#checking
  }

  /** A thread has answered. */
  take(id: number, part: ClientPart): void {
    this.#collector.take(id, part)
  }

  threadEnded(thread: number): void {
    this.#collector.threadEnded(thread)
  }

  async #take(): Promise<ClientSample> {
    const before = this.#last?.sample.now ?? (await this.#first())
    const now = await this.#collector.collect()
    const sample = { now, before }
    this.#last = { takenMs: performance.now(), sample }
    clearTimeout(this.#forget)
    this.#forget = setTimeout(() => this.#forgetAll(), RATES_MS_MAX).unref()
    return sample
  }

  #forgetAll(): void {
    this.#last = undefined
    this.#lists = { of: undefined, byQuery: new Map() }
  }

  async #first(): Promise<ClientSnapshot> {
    const startedMs = performance.now()
    const first = await this.#collector.collect()
    await sleep(startedMs + FIRST_RATES_MS - performance.now())
    return first
  }
}

/** Packets do not wait for work on all clients. */
async function yielding<Done>(work: () => Promise<Done> | Done): Promise<Done> {
  yieldToPackets(true)
  try {
    return await work()
  } finally {
    yieldToPackets(false)
  }
}
