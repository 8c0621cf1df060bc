// Options with their values parsed: each by its kind, the default where nothing was given. Values that do not parse
// are complaints, and count as not given so that the rest is examined too.

import { displayName, type Option, type OptionTable, type OptionValue } from './option.ts'
import type { Problem } from '#fleet/problem.ts'
import { shownText } from '#fleet/secret-mask.ts'
import type { RawOptions, OptionSource } from './raw-option.ts'

export class OptionValues<T extends OptionTable> {
  readonly #table: T
  readonly #raw: RawOptions
  readonly #parsed = new Map<string, unknown>()
  readonly #misfits = new Map<string, OptionSource>()

  constructor(table: T, raw: RawOptions, problems: Problem[]) {
    this.#table = table
    this.#raw = raw
    for (const [word, option] of Object.entries(table)) this.#parse(word, option, problems)
  }

  /** Whether a value from there does not parse. */
  hasInvalidFrom(source: OptionSource): boolean {
    return [...this.#misfits.values()].includes(source)
  }

  /** Whether what was said of each is known: a default that stands for a misfit is not what the operator means. */
  areValid(...words: readonly (keyof T & string)[]): boolean {
    return !words.some((word) => this.#misfits.has(word))
  }

  /** The value; its default where none was given. */
  get<W extends keyof T & string>(word: W): OptionValue<T[W]> {
    // The constructor parsed it by the kind that the type names.
    return this.#parsed.get(word) as OptionValue<T[W]>
  }

  /** Where the value came from; undefined for a default. */
  source(word: keyof T & string): OptionSource | undefined {
    return this.#raw.get(word)?.source
  }

  /** What a message about the value should point to. */
  where(word: keyof T & string): string {
    const option: Option | undefined = this.#table[word]
    return this.#raw.get(word)?.where ?? (option === undefined ? word : displayName(word, option))
  }

  #parse(word: string, option: Option, problems: Problem[]): void {
    const raw = this.#raw.get(word)
    const fallback = option.fallback === undefined ? undefined : option.kind.parse(option.fallback)
    // An empty text takes back what a source of lower rank says. A boolean says something or is not given.
    const isEmpty = raw?.text === '' && option.kind.isBoolean !== true
    if (isEmpty) {
      this.#parsed.set(word, fallback)
      return
    }
    const value = raw === undefined ? undefined : option.kind.parse(raw.text)
    if (raw !== undefined && value === undefined) {
      this.#misfits.set(word, raw.source)
      const found = option.only === 'env' ? 'invalid value' : `invalid value ${shownText(raw.text)}`
      problems.push({ where: raw.where, found, expected: option.kind.expected })
    }
    this.#parsed.set(word, value ?? fallback)
  }
}
