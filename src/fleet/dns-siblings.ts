// Siblings that DNS names stand for, as an orchestrator keeps them up to date: one for each address (A, AAAA) or for
// each host and port (SRV) of a name. Every name is resolved again and again, one round after the other. A failed
// answer changes nothing. A sibling that is missing from a few answers in a row is removed.

import { Resolver } from 'node:dns/promises'
import { isIPv6 } from 'node:net'
import { listedSibling, type Sibling } from './sibling.ts'

const REFRESH_MS = 10_000
const RESOLVE_TIMEOUT_MS = 3_000
/** A restarted name server answers with few addresses for a while. */
const ABSENCES_MAX = 3
/** Of one name. More relays than a mesh of this kind carries: the name stands for something else. */
const SIBLINGS_MAX = 256
/**
 * What an operator may name and a record may point to. An SRV record with an empty target means that there is no
 * service.
 */
const HOST = /^[\w.-]{1,253}$/
/** Errors that are answers: the name has no record of the kind. All other errors are failures. */
const NO_RECORDS = new Set(['ENODATA', 'ENOTFOUND'])

export interface DnsName {
  /** Begins with an underscore for SRV records. */
  readonly name: string
  readonly port: number
}

export interface DnsSiblingsParts {
  readonly names: readonly DnsName[]
  /** Name servers to use instead of the system's. */
  readonly servers?: readonly string[]
  /** The siblings have changed, or the last of the names has been answered for the first time. */
  readonly onChange: (siblings: readonly Sibling[]) => void
  /** A name does not resolve, or stands for too many relays; called once until it resolves again. */
  readonly onProblem: (name: string, error: Error) => void
}

interface KnownSibling {
  readonly sibling: Sibling
  absences: number
}

export class DnsSiblings {
  readonly #parts: DnsSiblingsParts
  readonly #known = new Map<string, Map<string, KnownSibling>>()
  readonly #answered = new Set<string>()
  readonly #failing = new Set<string>()
  #timer: NodeJS.Timeout | undefined = undefined
  #refresh: Promise<void> | undefined = undefined
  #isStopped = false

  constructor(parts: DnsSiblingsParts) {
    this.#parts = parts
  }

  get siblings(): readonly Sibling[] {
    const known = this.#parts.names.flatMap((name) => [...(this.#known.get(idOf(name))?.values() ?? [])])
    return known.map(({ sibling }) => sibling)
  }

  /** Each name has been answered at least once. */
  get areAllAnswered(): boolean {
    return this.#parts.names.every((name) => this.#answered.has(idOf(name)))
  }

  /** Starts the first round; waits for no answer. */
  start(): void {
    if (this.#parts.names.length > 0) void this.refresh()
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  /** Resolves all names now. If a round is under way, waits for that one instead. */
  async refresh(): Promise<void> {
    this.#refresh ??= this.#resolveAll().finally(() => {
      this.#refresh = undefined
      clearTimeout(this.#timer)
      if (!this.#isStopped) this.#timer = setTimeout(() => void this.refresh(), REFRESH_MS).unref()
    })
    await this.#refresh
  }

  async #resolveAll(): Promise<void> {
    const wasComplete = this.areAllAnswered
    const changed = await Promise.all(this.#parts.names.map(async (name) => await this.#resolve(name)))
    if (this.#isStopped) return
    if (changed.some(Boolean) || wasComplete !== this.areAllAnswered) this.#parts.onChange(this.siblings)
  }

  async #resolve(name: DnsName): Promise<boolean> {
    const id = idOf(name)
    try {
      const { siblings, isWhole } = await siblingsOf(name, this.#newResolver())
      if (this.#isStopped) return false
      this.#answered.add(id)
      if (siblings.length <= SIBLINGS_MAX) this.#failing.delete(id)
      else {
        const found = `resolves to ${siblings.length} relays`
        this.#report(name, new Error(`${found}; expected at most ${SIBLINGS_MAX}`))
      }
      return this.#update(id, siblings, isWhole)
    } catch (error) {
      if (!this.#isStopped) this.#report(name, error as Error)
      return false
    }
  }

  #report(name: DnsName, error: Error): void {
    const id = idOf(name)
    if (!this.#failing.has(id)) this.#parts.onProblem(name.name, error)
    this.#failing.add(id)
  }

  /** A new one each time: the system's settings may have changed. */
  #newResolver(): Resolver {
    const resolver = new Resolver({ timeout: RESOLVE_TIMEOUT_MS, tries: 2 })
    if (this.#parts.servers !== undefined) resolver.setServers(this.#parts.servers)
    return resolver
  }

  /** Known siblings have precedence over new ones, so that the order of an answer makes no difference. */
  #update(id: string, found: readonly Sibling[], isWhole: boolean): boolean {
    const known = this.#known.get(id) ?? new Map<string, KnownSibling>()
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
    for (const sibling of found) {
      if (known.has(sibling.name) || known.size >= SIBLINGS_MAX) continue
      known.set(sibling.name, { sibling, absences: 0 })
      isChanged = true
    }
    return isChanged
  }
}

interface FoundSiblings {
  readonly siblings: readonly Sibling[]
  /** The answers are complete, so a sibling that is not in them is absent. */
  readonly isWhole: boolean
}

async function siblingsOf({ name, port }: DnsName, resolver: Resolver): Promise<FoundSiblings> {
  if (name.startsWith('_')) {
    const records = await resolver.resolveSrv(name)
    const usable = records.filter((record) => HOST.test(record.name) && record.port > 0)
    return { siblings: usable.map((record) => siblingFrom(record.name, record.port)), isWhole: true }
  }
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])
  const failed = answers.filter((answer) => answer.status === 'rejected')
  if (failed.length === answers.length) throw failed[0]?.reason
  const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  return {
    siblings: addresses.map((address) => siblingFrom(name, port, address)),
    isWhole: failed.every(({ reason }) => NO_RECORDS.has((reason as NodeJS.ErrnoException).code ?? '')),
  }
}

function idOf({ name, port }: DnsName): string {
  return `${name}:${port}`
}

function siblingFrom(host: string, port: number, address?: string): Sibling {
  const at = address === undefined ? '' : isIPv6(address) ? ` at [${address}]` : ` at ${address}`
  return listedSibling(`${host}:${port}${at}`, host, port, address)
}
