// Typed events with one value each. Listeners are called at once, in the order in which they were added; their exceptions
// are not caught. Unlike Node's EventEmitter: only the names of the map, no `error` that throws, and `next` returns a
// promise of the next event.

type EventListener<Value> = (value: Value) => void

/** Listeners by event; each is optional. */
export type EventListeners<Events> = { readonly [Name in keyof Events]?: EventListener<Events[Name]> }

export class Emitter<Events extends object> {
  readonly #listeners: { [Name in keyof Events]?: readonly EventListener<Events[Name]>[] } = {}
  readonly #waiting = new Set<(reason: Error) => void>()
  #over: Error | undefined

  /** Calls `listener` for every such event from now on. Returns the function that removes it. */
  on<Name extends keyof Events>(name: Name, listener: EventListener<Events[Name]>): () => void {
    // Lists are replaced, never changed, so that listeners can be added and removed during an event.
    this.#listeners[name] = [...(this.#listeners[name] ?? []), listener]
    return () => {
      this.#listeners[name] = this.#listeners[name]?.filter((other) => other !== listener)
    }
  }

  /** Adds every listener of an object. */
  onAll(listeners: EventListeners<Events>): void {
    for (const name of Object.keys(listeners) as (keyof Events)[]) {
      const listener = listeners[name]
      if (listener !== undefined) this.on(name, listener)
    }
  }

  /**
   * The next such event, or the next that satisfies `isWanted`. Rejects when no more events can come. A promise that is
   * never awaited does no harm.
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

  /** No more events will come: rejects all pending promises with this reason. */
  finish(reason: Error): void {
    this.#over ??= reason
    for (const giveUp of this.#waiting) giveUp(reason)
    this.#waiting.clear()
  }
}
