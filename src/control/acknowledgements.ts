// Which relay threads have yet to answer a mark, which a thread does when it has handled all that it was sent before. A thread that
// ends needs no answer: the one that takes its place is given what holds before it listens. Runs on the control thread.

interface Waiting {
  readonly mark: number
  readonly threads: Set<number>
  readonly resolve: () => void
}

export class Acknowledgements {
  readonly #waiting = new Set<Waiting>()
  #mark = 0

  /**
   * Resolves when each of these threads has answered, or has ended.
   * @param send sends them a mark
   */
  async of(threads: readonly number[], send: (mark: number) => void): Promise<void> {
    if (threads.length === 0) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const mark = ++this.#mark
    this.#waiting.add({ mark, threads: new Set(threads), resolve })
    send(mark)
    await promise
  }

  acknowledged(thread: number, mark: number): void {
    for (const waiting of this.#waiting) if (waiting.mark <= mark) this.#strike(waiting, thread)
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
