// A fuzz target: a parser, sample inputs, and the invariants that must hold for any input.

import type { Random } from './random.ts'

export interface FuzzTarget {
  readonly name: string
  readonly corpus: readonly Uint8Array[]
  /** Longer inputs are truncated: parsers of operators' files may need more time per byte. */
  readonly inputBytesMax?: number
  /** Words of the parser's language. */
  readonly tokens?: readonly string[]
  /**
   * Tries one input and returns its outcome in a few words; an input with a new outcome joins the corpus. Throws if an
   * invariant does not hold, or if the parser throws.
   */
  readonly attempt: (input: Buffer, random: Random) => string | Promise<string>
  /** Attempts wait for sockets, so they need a thread without computing targets. */
  readonly waits?: true
  /** Called once per run, before the first attempt. */
  readonly open?: () => Promise<void>
  /** Called once per run, after the last attempt. */
  readonly close?: () => Promise<void>
}

export class InvariantError extends Error {}

export function invariant(holds: boolean, message: string): asserts holds {
  if (!holds) throw new InvariantError(message)
}

export function same(a: unknown, b: unknown, name: string): void {
  const [left, right] = [a, b].map((value) => shown(value))
  invariant(left === right, `${name}: ${left} is not ${right}`)
}

function shown(value: unknown): string {
  return JSON.stringify(value, (_name, inner: unknown) =>
    inner instanceof Uint8Array
      ? `bytes ${Buffer.from(inner).toString('hex')}`
      : inner instanceof Map
        ? [...(inner as ReadonlyMap<unknown, unknown>)]
        : (inner ?? null),
  )
}

/** A rough length: the same for all lengths with the same number of bits. */
export function magnitude(count: number): string {
  return `${32 - Math.clz32(count)}b`
}

export const texts = (...all: string[]): Buffer[] => all.map((text) => Buffer.from(text))
