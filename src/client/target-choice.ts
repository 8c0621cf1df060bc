// Which of several servers to connect to: the nearest one that accepts TCP, by which one accepts first. One that has just
// failed behind its open port, at TLS or at the login, comes after the others. Behind a proxy nothing can be measured, so the
// order is that of the list, and a failure is a step to the next.

import { connect, type Socket } from 'node:net'
import { resolveTarget, type TargetOptions } from './target.ts'

/** As for the relays of a region. */
const ACCEPT_MS_MAX = 1_500
/** So long a failed server comes after the others. */
const DISTRUST_MS = 30_000

export class TargetChoice {
  readonly #targets: readonly TargetOptions[]
  readonly #now: () => number
  readonly #failedMs = new Map<TargetOptions, number>()
  #last: TargetOptions | undefined

  /** @throws RangeError that names an invalid option, or for no targets */
  constructor(targets: readonly TargetOptions[], now: () => number = () => performance.now()) {
    if (targets.length === 0) throw new RangeError('targets: expected at least one')
    for (const target of targets) resolveTarget(target)
    this.#targets = targets
    this.#now = now
  }

  /** The server that was chosen last has failed. */
  failed(): void {
    if (this.#last !== undefined) this.#failedMs.set(this.#last, this.#now())
  }

  /** The server that was chosen last works. */
  worked(): void {
    if (this.#last !== undefined) this.#failedMs.delete(this.#last)
  }

  /** @throws Error with the reason of each server if none accepts */
  async next(): Promise<TargetOptions> {
    const trusted = this.#targets.filter((target) => !this.#isDistrusted(target))
    const others = this.#targets.filter((target) => this.#isDistrusted(target))
    // The one that failed first has waited longest.
    others.sort((a, b) => (this.#failedMs.get(a) ?? 0) - (this.#failedMs.get(b) ?? 0))
    const [first] = [...trusted, ...others]
    if (first === undefined) throw new Error('no servers')
    const isMeasured = this.#targets.length > 1 && this.#targets.every(({ proxy }) => proxy === undefined)
    this.#last = isMeasured ? await this.#nearestOf(trusted, others) : first
    return this.#last
  }

  #isDistrusted(target: TargetOptions): boolean {
    const failedMs = this.#failedMs.get(target)
    return failedMs !== undefined && this.#now() - failedMs < DISTRUST_MS
  }

  async #nearestOf(...groups: readonly (readonly TargetOptions[])[]): Promise<TargetOptions> {
    const reasons: string[] = []
    for (const group of groups.filter(({ length }) => length > 0)) {
      const found = await firstToAccept(group, reasons)
      if (found !== undefined) return found
    }
    throw new Error(`no server accepts a connection: ${reasons.join(', ')}`)
  }
}

async function firstToAccept(
  targets: readonly TargetOptions[],
  reasons: string[],
): Promise<TargetOptions | undefined> {
  const limit = AbortSignal.timeout(ACCEPT_MS_MAX)
  const sockets: Socket[] = []
  const attempts = targets.map(async (target) => {
    const { dialAddress: host, port, localAddress, name } = resolveTarget(target)
    const socket = connect({ host, port, localAddress, signal: limit })
    sockets.push(socket)
    const { promise, resolve, reject } = Promise.withResolvers<TargetOptions>()
    socket.once('connect', () => resolve(target))
    socket.on('error', (error) => {
      reasons.push(`${name}: ${limit.aborted ? `nothing within ${ACCEPT_MS_MAX} ms` : error.message}`)
      reject(error)
    })
    return await promise
  })
  try {
    return await Promise.any(attempts)
  } catch {
    return undefined
  } finally {
    for (const socket of sockets) socket.destroy()
  }
}
