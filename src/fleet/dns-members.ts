// Relays that a DNS name stands for, as an orchestrator keeps it up to date: an address for each (A, AAAA), or a host
// and port for each (SRV). Asked again and again; an answer that fails changes nothing, and who is missing from a few
// answers in a row is no member any more.

import { Resolver } from 'node:dns/promises'
import { isIPv6 } from 'node:net'
import type { Member } from './members.ts'

const REFRESH_MS = 10_000
const RESOLVE_TIMEOUT_MS = 3_000
/** A name server that is restarted answers with few addresses for a while. */
const ABSENCES_MAX = 3
/** More relays than a mesh of this kind carries; the name stands for something else. */
const MEMBERS_MAX = 256

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
  /** A name does not resolve; told once until it does. */
  readonly onProblem: (name: string, error: Error) => void
}

interface Known {
  readonly member: Member
  absences: number
}

export class DnsMembers {
  readonly #parts: DnsMembersParts
  readonly #known = new Map<string, Map<string, Known>>()
  readonly #failing = new Set<string>()
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(parts: DnsMembersParts) {
    this.#parts = parts
  }

  get members(): readonly Member[] {
    return [...this.#known.values()].flatMap((known) => [...known.values()].map(({ member }) => member))
  }

  /** Asks once before it returns. */
  async start(): Promise<void> {
    if (this.#parts.names.length === 0) return
    this.#timer = setInterval(() => void this.refresh(), REFRESH_MS)
    this.#timer.unref()
    await this.refresh()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  async refresh(): Promise<void> {
    const changed = await Promise.all(this.#parts.names.map(async (name) => await this.#ask(name)))
    if (changed.some(Boolean)) this.#parts.onChange(this.members)
  }

  async #ask(name: DnsName): Promise<boolean> {
    try {
      const found = await membersOf(name, this.#resolver())
      this.#failing.delete(name.name)
      return this.#take(name.name, found.slice(0, MEMBERS_MAX))
    } catch (error) {
      if (!this.#failing.has(name.name)) this.#parts.onProblem(name.name, error as Error)
      this.#failing.add(name.name)
      return false
    }
  }

  /** A new one each time: the system's settings may have changed. */
  #resolver(): Resolver {
    const resolver = new Resolver({ timeout: RESOLVE_TIMEOUT_MS, tries: 2 })
    if (this.#parts.servers !== undefined) resolver.setServers(this.#parts.servers)
    return resolver
  }

  #take(name: string, found: readonly Member[]): boolean {
    const known = this.#known.get(name) ?? new Map<string, Known>()
    this.#known.set(name, known)
    let isChanged = false
    for (const one of known.values()) one.absences++
    for (const member of found) {
      isChanged ||= !known.has(member.name)
      known.set(member.name, { member, absences: 0 })
    }
    for (const [id, { absences }] of known) {
      if (absences < ABSENCES_MAX) continue
      known.delete(id)
      isChanged = true
    }
    return isChanged
  }
}

async function membersOf({ name, port }: DnsName, resolver: Resolver): Promise<readonly Member[]> {
  if (name.startsWith('_')) {
    const records = await resolver.resolveSrv(name)
    return records.map((record) => memberAt(record.name, record.port, undefined))
  }
  const [four, six] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
  if (four.status === 'rejected' && six.status === 'rejected') throw four.reason
  const addresses = [four, six].flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  return addresses.map((address) => memberAt(name, port, address))
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
