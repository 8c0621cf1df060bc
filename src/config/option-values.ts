// The values of a table's options, each parsed by its kind, with the default if none was given. A value that does not
// parse is a problem and counts as not given, so that the rest is checked, too.

import type { Problem } from '#fleet/problem.ts'
import { shownText } from '#fleet/secret-mask.ts'
import { displayName, type Option, type OptionTable, type OptionValue } from './option.ts'
import type { OptionSource, RawOptions } from './raw-option.ts'

export class OptionValues<T extends OptionTable> {
  readonly #table: T
  readonly #raw: RawOptions
  readonly #parsed = new Map<string, unknown>()
  /** The options whose values do not parse. */
  readonly #invalid = new Map<string, OptionSource>()

  constructor(table: T, raw: RawOptions, problems: Problem[]) {
    this.#table = table
    this.#raw = raw
    for (const [name, option] of Object.entries(table)) this.#parse(name, option, problems)
  }

  /** Whether any value from this source does not parse. */
  hasInvalidFrom(source: OptionSource): boolean {
    return [...this.#invalid.values()].includes(source)
  }

  /**
   * Whether all these options have the value that the operator means, and not the default in place of an invalid one.
   */
  areValid(...names: readonly (keyof T & string)[]): boolean {
    return !names.some((name) => this.#invalid.has(name))
  }

  /** The value, or the default if none was given. */
  get<N extends keyof T & string>(name: N): OptionValue<T[N]> {
    // The constructor has parsed it by the kind that the type names.
    return this.#parsed.get(name) as OptionValue<T[N]>
  }

  /** The value as it is written, or the default; for messages. */
  text(name: keyof T & string): string {
    const option: Option | undefined = this.#table[name]
    const text = this.#raw.get(name)?.text
    if (text !== undefined && text !== '') return text
    const standard = option?.fallback ?? option?.fallbackNote
    return standard === undefined ? 'not set' : `the default (${standard})`
  }

  /** These values, with those of `others` for the options that `fits` selects. */
  mixedWith(
    others: OptionValues<T>,
    fits: (option: Option) => boolean,
    problems: Problem[],
  ): OptionValues<T> {
    const names = new Set(
      Object.entries<Option>(this.#table).flatMap(([name, option]) => (fits(option) ? [name] : [])),
    )
    const kept = [...this.#raw].filter(([name]) => !names.has(name))
    const taken = [...others.#raw].filter(([name]) => names.has(name))
    return new OptionValues(this.#table, new Map([...kept, ...taken]), problems)
  }

  /** The source of the value; undefined for a default. */
  source(name: keyof T & string): OptionSource | undefined {
    return this.#raw.get(name)?.source
  }

  /** Whether the operator or a preset has given a value, even if it is the default. */
  isGiven(name: keyof T & string): boolean {
    const raw = this.#raw.get(name)
    return raw !== undefined && raw.text !== '' && this.#parsed.get(name) !== false
  }

  /** Where the value stands, for messages. */
  where(name: keyof T & string): string {
    const option: Option | undefined = this.#table[name]
    return this.#raw.get(name)?.where ?? (option === undefined ? name : displayName(name, option))
  }

  #parse(name: string, option: Option, problems: Problem[]): void {
    const raw = this.#raw.get(name)
    const fallback = option.fallback === undefined ? undefined : option.kind.parse(option.fallback)
    // An empty text restores the default over a source of lower rank. A boolean has no empty value.
    const isEmpty = raw?.text === '' && option.kind.isBoolean !== true
    if (isEmpty) {
      this.#parsed.set(name, fallback)
      return
    }
    const value = raw === undefined ? undefined : option.kind.parse(raw.text)
    if (raw !== undefined && value === undefined) {
      this.#invalid.set(name, raw.source)
      const found = option.only === 'env' ? 'invalid value' : `invalid value ${shownText(raw.text)}`
      problems.push({ where: raw.where, found, expected: option.kind.expected })
    }
    this.#parsed.set(name, value ?? fallback)
  }
}
