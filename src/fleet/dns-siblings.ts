// Relays that a DNS name stands for, as an orchestrator keeps it up to date: an address for each (A, AAAA), or a host
// and port for each (SRV). Asked again and again, one question after the other; an answer that fails changes nothing,
// and who is missing from a few answers in a row is no member any more.

import { Resolver } from 'node:dns/promises'
import { isIPv6 } from 'node:net'
import type { Member } from './fleet-position.ts'

const REFRESH_MS = 10_000
const RESOLVE_TIMEOUT_MS = 3_000
/** A name server that is restarted answers with few addresses for a while. */
const ABSENCES_MAX = 3
/** Of one name: more relays than a mesh of this kind carries; the name stands for something else. */
const MEMBERS_MAX = 256
/** What an operator may name, and a record point to; an empty target means that there is no such service. */
const HOST = /^[\w.-]{1,253}$/
/** That a name has no record of a kind is an answer; all other errors are none. */
const NO_RECORDS = new Set(['ENODATA', 'ENOTFOUND'])

export interface DnsName {
  /** Begins with an underscore for SRV records. */
  readonly name: string
  readonly port: number
}

export interface DnsMembersParts {
  readonly names: readonly DnsName[]
  /** Name servers to ask in place of the system's. */
  readonly servers?: readonly string[]
  /** The members are others than before. */
  readonly onChange: (members: readonly Member[]) => void
  /** A name does not resolve, or stands for too many; told once until it does. */
  readonly onProblem: (name: string, error: Error) => void
}

interface Known {
  readonly member: Member
  absences: number
}

export class DnsMembers {
  readonly #parts: DnsMembersParts
  readonly #known = new Map<string, Map<string, Known>>()
  readonly #answered = new Set<string>()
  readonly #failing = new Set<string>()
  #timer: NodeJS.Timeout | undefined = undefined
  #refresh: Promise<void> | undefined = undefined
  #isStopped = false

  constructor(parts: DnsMembersParts) {
    this.#parts = parts
  }

  get members(): readonly Member[] {
    const known = this.#parts.names.flatMap((name) => [...(this.#known.get(idOf(name))?.values() ?? [])])
    return known.map(({ member }) => member)
  }

  /** Each name has been answered at least once. */
  get areAllAnswered(): boolean {
    return this.#parts.names.every((name) => this.#answered.has(idOf(name)))
  }

  /** Begins to ask; waits for no answer. */
  start(): void {
    if (this.#parts.names.length > 0) void this.refresh()
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  /** Asks now, unless that is under way: then it waits for that. */
  async refresh(): Promise<void> {
    this.#refresh ??= this.#askAll().finally(() => {
      this.#refresh = undefined
      clearTimeout(this.#timer)
      if (!this.#isStopped) this.#timer = setTimeout(() => void this.refresh(), REFRESH_MS).unref()
    })
    await this.#refresh
  }

  async #askAll(): Promise<void> {
    const wasComplete = this.areAllAnswered
    const changed = await Promise.all(this.#parts.names.map(async (name) => await this.#ask(name)))
    if (this.#isStopped) return
    if (changed.some(Boolean) || wasComplete !== this.areAllAnswered) this.#parts.onChange(this.members)
  }

  async #ask(name: DnsName): Promise<boolean> {
    const id = idOf(name)
    try {
      const { members, isWhole } = await membersOf(name, this.#resolver())
      if (this.#isStopped) return false
      this.#answered.add(id)
      if (members.length <= MEMBERS_MAX) this.#failing.delete(id)
      else
        this.#complain(
          name,
          new Error(`resolves to ${members.length} relays; expected at most ${MEMBERS_MAX}`),
        )
      return this.#take(id, members, isWhole)
    } catch (error) {
      if (!this.#isStopped) this.#complain(name, error as Error)
      return false
    }
  }

  #complain(name: DnsName, error: Error): void {
    const id = idOf(name)
    if (!this.#failing.has(id)) this.#parts.onProblem(name.name, error)
    this.#failing.add(id)
  }

  /** A new one each time: the system's settings may have changed. */
  #resolver(): Resolver {
    const resolver = new Resolver({ timeout: RESOLVE_TIMEOUT_MS, tries: 2 })
    if (this.#parts.servers !== undefined) resolver.setServers(this.#parts.servers)
    return resolver
  }

  /** Who is known stays rather than who is new comes, so that an answer in another order changes nothing. */
  #take(id: string, found: readonly Member[], isWhole: boolean): boolean {
    const known = this.#known.get(id) ?? new Map<string, Known>()
    this.#known.set(id, known)
    let isChanged = false
    if (isWhole) for (const one of known.values()) one.absences++
    for (const { name } of found) {
      const one = known.get(name)
      if (one !== undefined) one.absences = 0
    }
    for (const [name, { absences }] of known) {
      if (absences < ABSENCES_MAX) continue
      known.delete(name)
      isChanged = true
    }
    for (const member of found) {
      if (known.has(member.name) || known.size >= MEMBERS_MAX) continue
      known.set(member.name, { member, absences: 0 })
      isChanged = true
    }
    return isChanged
  }
}

interface Found {
  readonly members: readonly Member[]
  /** Whoever is not there is missing; else a part of the answer is. */
  readonly isWhole: boolean
}

async function membersOf({ name, port }: DnsName, resolver: Resolver): Promise<Found> {
  if (name.startsWith('_')) {
    const records = await resolver.resolveSrv(name)
    const usable = records.filter((record) => HOST.test(record.name) && record.port > 0)
    return { members: usable.map((record) => memberAt(record.name, record.port, undefined)), isWhole: true }
  }
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
  const failed = answers.filter((answer) => answer.status === 'rejected')
  if (failed.length === answers.length) throw failed[0]?.reason
  const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  return {
    members: addresses.map((address) => memberAt(name, port, address)),
    isWhole: failed.every(({ reason }) => NO_RECORDS.has((reason as NodeJS.ErrnoException).code ?? '')),
  }
}

function idOf({ name, port }: DnsName): string {
  return `${name}:${port}`
}

function memberAt(host: string, port: number, address: string | undefined): Member {
  const at = address === undefined ? '' : isIPv6(address) ? ` at [${address}]` : ` at ${address}`
  return {
    name: `${host}:${port}${at}`,
    host,
    port,
    dialHost: address,
    certName: undefined,
    isInside: true,
    isWatched: true,
    nodes: [],
  }
}
