// Typed events, one value each. Listeners are called in the order of their arrival and at once; what they throw
// is theirs to handle. Not Node's EventEmitter: no strings beside the map's names, no `error` that throws, and
// `next` turns the coming event into a promise.

type Listener<Value> = (value: Value) => void

/** Listeners by event; each is optional. */
export type Listeners<Events> = { readonly [Name in keyof Events]?: Listener<Events[Name]> }

export class Emitter<Events extends object> {
  readonly #listeners: { [Name in keyof Events]?: readonly Listener<Events[Name]>[] } = {}
  readonly #waiting = new Set<(reason: Error) => void>()
  #over: Error | undefined

  /** Calls `listener` with every such event from now on; returns what ends that. */
  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    // Lists are replaced, never changed, so that a listener may come or go during an event.
    this.#listeners[name] = [...(this.#listeners[name] ?? []), listener]
    return () => {
      this.#listeners[name] = this.#listeners[name]?.filter((other) => other !== listener)
    }
  }

  /** Adds every listener of an object. */
  onAll(listeners: Listeners<Events>): void {
    for (const name of Object.keys(listeners) as (keyof Events)[]) {
      const listener = listeners[name]
      if (listener !== undefined) this.on(name, listener)
    }
  }

  /**
   * The next such event, or the next that satisfies `isWanted`. Rejects once no more events can come. A promise
   * that nobody awaits does no harm.
   */
  next<Name extends keyof Events>(
    name: Name,
    isWanted: (value: Events[Name]) => boolean = () => true,
  ): Promise<Events[Name]> {
    const promise = new Promise<Events[Name]>((resolve, reject) => {
      if (this.#over !== undefined) return reject(this.#over)
      const giveUp = (reason: Error): void => reject(reason)
      const off = this.on(name, (value) => {
        if (!isWanted(value)) return
        off()
        this.#waiting.delete(giveUp)
        resolve(value)
      })
      this.#waiting.add(giveUp)
    })
    promise.catch(() => undefined)
    return promise
  }

  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    const listeners = this.#listeners[name]
    if (listeners === undefined) return
    for (const listener of listeners) listener(value)
  }

  /** Says that no more events will come: what `next` promised is refused with this reason. */
  finish(reason: Error): void {
    this.#over ??= reason
    for (const giveUp of this.#waiting) giveUp(reason)
    this.#waiting.clear()
  }
}
