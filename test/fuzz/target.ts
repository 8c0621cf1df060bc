// A subject of fuzzing: a parser, sample inputs, and the promises that have to hold for any input.

import type { Random } from './random.ts'

export interface Subject {
  readonly name: string
  readonly corpus: readonly Uint8Array[]
  /** Longer inputs are truncated: parsers of operators' input may take more time per byte. */
  readonly inputBytesMax?: number
  /** Tokens of its language. */
  readonly tokens?: readonly string[]
  /**
   * Parses one input and returns a short description of the outcome: an input with a new outcome joins the corpus. Throws if
   * a promise is broken, also by an unexpected error of the parser.
   */
  readonly attempt: (input: Buffer, random: Random) => string | Promise<string>
  /** Its attempts wait for sockets, so it does not share a thread with subjects that compute. */
  readonly waits?: true
  /** Called once per run, before the first attempt and after the last. */
  readonly open?: () => Promise<void>
  readonly close?: () => Promise<void>
}

/** A broken promise. */
export class BrokenPromise extends Error {}

export function promise(holds: boolean, what: string): asserts holds {
  if (!holds) throw new BrokenPromise(what)
}

export function same(a: unknown, b: unknown, what: string): void {
  const [left, right] = [a, b].map((value) => shown(value))
  promise(left === right, `${what}: ${left} is not ${right}`)
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

/** A rough length: the same text for all lengths with the same number of bits. */
export function magnitude(count: number): string {
  return `${32 - Math.clz32(count)}b`
}

export const texts = (...all: string[]): Buffer[] => all.map((text) => Buffer.from(text))
