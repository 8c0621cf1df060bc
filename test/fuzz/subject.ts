// What is fuzzed: a parser, inputs to begin with, and the promises that must hold for any input.

import type { Random } from './random.ts'

export interface Subject {
  readonly name: string
  readonly corpus: readonly Uint8Array[]
  /** Longer ones are cut: what only operators write may take more time for each byte. */
  readonly inputBytesMax?: number
  /** Words of its language. */
  readonly tokens?: readonly string[]
  /**
   * Tries one input and answers, in a few words, what came of it: an input with which something new comes of it is worth
   * going on from. Throws when a promise is broken; a parser that throws what it may not does that by itself.
   */
  readonly attempt: (input: Buffer, random: Random) => string | Promise<string>
  /** Its attempts wait for sockets: beside others that compute it would get nowhere. */
  readonly waits?: true
  /** Once per run, before the first attempt, and after the last. */
  readonly open?: () => Promise<void>
  readonly close?: () => Promise<void>
}

/** A promise that was broken. */
export class Broken extends Error {}

export function promise(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Broken(what)
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

/** How long something is, roughly: one word for all lengths of the same number of bits. */
export function magnitude(count: number): string {
  return `${32 - Math.clz32(count)}b`
}

export const texts = (...all: string[]): Buffer[] => all.map((text) => Buffer.from(text))
