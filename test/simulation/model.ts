// What a relay should do, written as naively as possible: which keys are here, which of several sessions of a key
// receives, and which sessions must be told that a peer has left. No bytes, no queues, no threads, no time: the model
// holds when everything has settled.

/** A login with one of the keys, which are numbers here. */
export interface ModelSession {
  readonly key: number
  /** Keys that sent to this session and have not left since. */
  readonly sources: Set<number>
}

/** More would change who is active more often than the relay lets them (duplicate-watch.ts). The model lets them always. */
const SESSIONS_PER_KEY_MAX = 4

export class Model<Session extends ModelSession> {
  /** Keys with a tenant; undefined: tenants are not kept apart. */
  tenants: ReadonlyMap<number, number> | undefined = undefined
  /** Of each key, its sessions in the order of their last activity. */
  readonly #sessions = new Map<number, readonly Session[]>()

  /** Keys that have a session. */
  get keys(): number[] {
    return [...this.#sessions.keys()]
  }

  sessionsOf(key: number): readonly Session[] {
    return this.#sessions.get(key) ?? []
  }

  isCrowded(key: number): boolean {
    return this.sessionsOf(key).length >= SESSIONS_PER_KEY_MAX
  }

  /** The session that receives packets to the key. */
  active(key: number): Session | undefined {
    return this.#sessions.get(key)?.at(-1)
  }

  join(session: Session): void {
    this.#sessions.set(session.key, [...this.sessionsOf(session.key), session])
  }

  /** A frame arrived from the session. */
  note(session: Session): void {
    this.#sessions.set(session.key, [...this.#othersThan(session), session])
  }

  /** Removes a session. Returns the sessions that must be told that its key has left. */
  leave(session: Session): Session[] {
    const others = this.#othersThan(session)
    if (others.length > 0) {
      this.#sessions.set(session.key, others)
      return []
    }
    this.#sessions.delete(session.key)
    return [...this.#sessions.values()].flat().filter((one) => one.sources.delete(session.key))
  }

  /** No packet may pass between two keys. */
  areApart(one: number, other: number): boolean {
    return this.tenants?.get(one) !== this.tenants?.get(other)
  }

  /** Keys have other tenants. Returns each session with a key that has left as far as it may know. */
  setTenants(tenants: ReadonlyMap<number, number>): (readonly [Session, key: number])[] {
    this.tenants = tenants
    return [...this.#sessions.values()].flat().flatMap((session) => {
      const left = [...session.sources].filter((source) => this.areApart(session.key, source))
      for (const source of left) session.sources.delete(source)
      return left.map((source) => [session, source] as const)
    })
  }

  /** A client sends a packet. Returns the session that receives it, or why none does. */
  send(from: Session, to: number): Session | 'foreign' | 'unknown' {
    if (this.active(from.key) !== from) this.note(from)
    if (this.areApart(from.key, to)) return 'foreign'
    const receiver = this.active(to)
    receiver?.sources.add(from.key)
    return receiver ?? 'unknown'
  }

  /** The same for a sibling that forwards a packet of a key. */
  forward(source: number, to: number): Session | 'foreign' | 'unknown' {
    const receiver = this.active(to) ?? 'unknown'
    return receiver !== 'unknown' && this.areApart(source, to) ? 'foreign' : receiver
  }

  #othersThan(session: Session): Session[] {
    return this.sessionsOf(session.key).filter((one) => one !== session)
  }
}
