// A YAML text and the places in it: parses, and tells where the value or the key at a path stands, by line and column.
// Refuses aliases: with them, a small text can expand to a huge value.

import { isMap, isScalar, isSeq, LineCounter, type Document } from 'yaml'
import { parseYaml } from './yaml-text.ts'

/** As editors count: the first line and the first column are 1. */
export interface Place {
  readonly line: number
  readonly column: number
}

export interface PlacedFault extends Place {
  readonly message: string
}

/** A key that occurs twice is a mistake, but the text is readable; after any other mistake it may mean something else. */
const HARMLESS = 'DUPLICATE_KEY'
/** Nobody reads more, and each is a line on a terminal or in a log. */
const FAULTS_MAX = 100

export class YamlPlaces {
  readonly #lines = new LineCounter()
  readonly #document: Document

  constructor(text: string) {
    this.#document = parseYaml(text, this.#lines)
  }

  /** What is wrong with the text as YAML; the first faults of it. */
  get faults(): readonly PlacedFault[] {
    return this.#document.errors
      .slice(0, FAULTS_MAX)
      .map(({ message, pos }) => Object.assign({ message }, this.#placeOf(pos[0])))
  }

  /** Its content can be relied on, as far as it has no faults of its own. */
  get isReadable(): boolean {
    return this.#document.errors.every(({ code }) => code === HARMLESS)
  }

  /** The whole content. @throws if it has an alias */
  content(): unknown {
    return this.#document.toJS({ maxAliasCount: 0 })
  }

  /** The place of what stands at a path, or of the innermost thing around it that exists. */
  of(path: readonly PropertyKey[]): Place {
    return this.#placeOf(this.#steps(path).at(-1)?.value)
  }

  /** The place of the last key of a path. */
  ofKey(path: readonly PropertyKey[]): Place {
    const steps = this.#steps(path)
    const step = steps.at(-1)
    return this.#placeOf(steps.length === path.length + 1 ? (step?.key ?? step?.value) : step?.value)
  }

  /** The document and then one step for each part of the path that exists. */
  #steps(path: readonly PropertyKey[]): readonly Step[] {
    const steps: Step[] = [{ key: undefined, value: rangeStart(this.#document.contents) }]
    let node: unknown = this.#document.contents
    for (const part of path) {
      const step = inner(node, part)
      if (step === undefined) break
      node = step.value
      // A key without a value, as in `name:`, has no place for the value.
      const key = rangeStart(step.key)
      steps.push({ key, value: rangeStart(step.value) ?? key })
    }
    return steps
  }

  #placeOf(offset: number | undefined): Place {
    const { line, col } = this.#lines.linePos(offset ?? 0)
    // An empty text has no lines.
    return { line: Math.max(line, 1), column: Math.max(col, 1) }
  }
}

interface Step {
  readonly key: number | undefined
  readonly value: number | undefined
}

function inner(
  node: unknown,
  part: PropertyKey,
): { readonly key: unknown; readonly value: unknown } | undefined {
  if (isSeq(node) && typeof part === 'number') {
    return part < node.items.length ? { key: undefined, value: node.items[part] } : undefined
  }
  if (!isMap(node)) return undefined
  // A region's number as key is a number to YAML, unless it is in quotes.
  return node.items.find(({ key }) => isScalar(key) && String(key.value) === String(part))
}

function rangeStart(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node)) return undefined
  return Array.isArray(node.range) ? Number(node.range[0]) : undefined
}
