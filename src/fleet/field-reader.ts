// Reads the fields of a JSON object from outside: each with bounds, and what is outside of them is named and passed over.
// Fields that nobody asks for are not looked at. Has no I/O.
//
// Contract: whatever the object holds, every value that is returned is within its bounds, and at most PROBLEMS_MAX
// problems are named.

import { isPrintable } from './printable-text.ts'

/** Enough to see what is wrong with one message; a line of the log has room for them. */
const PROBLEMS_MAX = 8

export interface NumberBounds {
  readonly min: number
  readonly max: number
  readonly isInteger?: boolean
}

export interface TextBounds {
  readonly charsMax: number
}

export class FieldReader {
  readonly #fields: Readonly<Record<string, unknown>>
  readonly #path: string
  /** By the names of fields: what is wrong with them. Shared with the readers of objects within this one. */
  readonly problems: string[]

  private constructor(fields: Readonly<Record<string, unknown>>, path: string, problems: string[]) {
    this.#fields = fields
    this.#path = path
    this.problems = problems
  }

  /** Undefined if the text is no JSON object. */
  static of(text: string): FieldReader | undefined {
    try {
      const json: unknown = JSON.parse(text)
      return isObject(json) ? new FieldReader(json, '', []) : undefined
    } catch {
      return undefined
    }
  }

  number(name: string, { min, max, isInteger = false }: NumberBounds): number | undefined {
    const value = this.#own(name)
    if (value === undefined) return undefined
    // Not a number, not finite, or outside.
    if (typeof value === 'number' && value >= min && value <= max && (!isInteger || Number.isInteger(value)))
      return value
    return this.#refuse(name, `is not ${isInteger ? 'an integer' : 'a number'} from ${min} to ${max}`)
  }

  text(name: string, { charsMax }: TextBounds): string | undefined {
    const value = this.#own(name)
    if (value === undefined) return undefined
    if (typeof value === 'string' && value.length <= charsMax && isPrintable(value)) return value
    return this.#refuse(name, `is not a printable text of at most ${charsMax} characters`)
  }

  flag(name: string): boolean | undefined {
    const value = this.#own(name)
    if (value === undefined || typeof value === 'boolean') return value
    return this.#refuse(name, 'is not true or false')
  }

  /** Texts of a list; empty without one. Those that are out of bounds are left out, and so are those beyond `countMax`. */
  texts(name: string, countMax: number, { charsMax }: TextBounds): readonly string[] {
    const isText = (one: unknown): one is string =>
      typeof one === 'string' && one.length <= charsMax && isPrintable(one)
    const list = this.#list(name, countMax)
    const texts = list.filter(isText)
    if (texts.length < list.length) this.#refuse(name, 'has an entry that is no short printable text')
    return texts
  }

  /** What `read` makes of the objects of a list; empty without one. Those of which it makes nothing are left out. */
  objects<T>(name: string, countMax: number, read: (one: FieldReader) => T | undefined): readonly T[] {
    return this.#list(name, countMax).flatMap((one) => {
      const made = isObject(one)
        ? read(new FieldReader(one, `${this.#path}${name}.`, this.problems))
        : this.#refuse(name, 'has an entry that is no object')
      return made === undefined ? [] : [made]
    })
  }

  /** The object in a field; undefined without one. */
  object(name: string): FieldReader | undefined {
    const value = this.#own(name)
    if (value === undefined) return undefined
    if (isObject(value)) return new FieldReader(value, `${this.#path}${name}.`, this.problems)
    return this.#refuse(name, 'is no object')
  }

  #list(name: string, countMax: number): readonly unknown[] {
    const value = this.#own(name)
    if (value === undefined) return []
    if (!Array.isArray(value)) {
      this.#refuse(name, 'is no list')
      return []
    }
    if (value.length > countMax) this.#refuse(name, `has more than ${countMax} entries`)
    return value.slice(0, countMax) as readonly unknown[]
  }

  /** A field that is null is a field that is not there. */
  #own(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? (this.#fields[name] ?? undefined) : undefined
  }

  #refuse(name: string, problem: string): undefined {
    if (this.problems.length < PROBLEMS_MAX) this.problems.push(`${this.#path}${name} ${problem}`)
  }
}

function isObject(json: unknown): json is Readonly<Record<string, unknown>> {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}
