// The notes below a figure's table: generator commands, doubts, and how many rounds were repeated or slow.
// Collected while a figure is measured.

export interface FigureNotes {
  readonly commands: string[]
  readonly marks: string[]
  readonly repeats: number
}

export class RunNotes {
  readonly #commands = new Map<string, string>()
  readonly #marks = new Set<string>()
  /** Rounds on a slow processor that count all the same, by server. */
  readonly #slowRounds = new Map<string, number>()
  #repeats = 0

  /**
   * Keeps a generator's command line, without addresses and file names. Of commands that differ in numbers only, the
   * last one is kept.
   */
  addCommand(command: string): void {
    const shown = command
      .replace(/--addr \S+/, '--addr HOST:PORT')
      .replace(/--far \S+/, '--far HOST:PORT')
      .replaceAll(/(--(?:far-)?logins) \S+/g, '$1 FILE')
      .replaceAll(/pid \d+/g, 'pid PID')
      .replace(/--login-from \d+ /, '')
    const kind = shown.replace(/\d+(\.\d+)?/g, 'N')
    this.#commands.set(kind, shown)
  }

  /** Keeps a reason to doubt the figure. */
  addMark(text: string): void {
    this.#marks.add(text)
  }

  countRepeat(): void {
    this.#repeats++
  }

  countSlowRound(server: string): void {
    this.#slowRounds.set(server, (this.#slowRounds.get(server) ?? 0) + 1)
  }

  get hasSlowRounds(): boolean {
    return this.#slowRounds.size > 0
  }

  /** Returns the notes since the last call. */
  take(): FigureNotes {
    const slow = [...this.#slowRounds].map(
      ([server, count]) => `${server}: in ${count} rounds the host's other work slowed the processor`,
    )
    const notes = {
      commands: [...this.#commands.values()],
      marks: [...this.#marks, ...slow],
      repeats: this.#repeats,
    }
    this.#commands.clear()
    this.#marks.clear()
    this.#slowRounds.clear()
    this.#repeats = 0
    return notes
  }
}
