// Which relay threads have yet to acknowledge an edition of something that was sent to all of them. A thread that ends needs
// no answer: the one that takes its place is given the latest edition before it listens. Runs on the control thread.

interface Waiting {
  readonly edition: number
  readonly threads: Set<number>
  readonly resolve: () => void
}

export class Acknowledgements {
  readonly #waiting = new Set<Waiting>()

  /** Resolves when each of these threads has acknowledged this edition or a later one, or has ended. */
  async of(edition: number, threads: readonly number[]): Promise<void> {
    if (threads.length === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.add({ edition, threads: new Set(threads), resolve })
    await promise
  }

  acknowledged(thread: number, edition: number): void {
    for (const waiting of this.#waiting) if (waiting.edition <= edition) this.#strike(waiting, thread)
  }

  threadEnded(thread: number): void {
    for (const waiting of this.#waiting) this.#strike(waiting, thread)
  }

  #strike(waiting: Waiting, thread: number): void {
    waiting.threads.delete(thread)
    if (waiting.threads.size > 0 || !this.#waiting.delete(waiting)) return
    waiting.resolve()
  }
}
