// One finding of a probe, and the list of a relay's findings. A check has one of three results: ok, failed, or skipped
// with a reason. An error that a check throws is its failure.

import { printableText } from '#fleet/printable-text.ts'
import type { IpFamily } from './settings.ts'

/** The names of checks in the output. */
export type CheckName =
  | 'map'
  | 'addresses'
  | 'tcp'
  | 'stun'
  | 'tls'
  | 'certificate'
  | 'login'
  | 'meta-certificate'
  | 'fast-start'
  | 'ping'
  | 'packet'
  | 'full-packet'
  | 'websocket'
  | 'latency-check'
  | 'browser-probe'
  | 'generate-204'
  | 'mesh'

export interface Check {
  readonly name: CheckName
  /** Set for a check that is made separately over each family. */
  readonly family: IpFamily | undefined
  readonly status: 'ok' | 'fail' | 'skip'
  /** How long the checked step took; undefined where a time has no meaning. */
  readonly ms: number | undefined
  readonly detail: string
  /** What to do about a failure. */
  readonly hint: string | undefined
}

/** The result of a check that did not throw. */
export type Outcome<T> =
  | { readonly status: 'ok'; readonly value: T; readonly detail: string; readonly ms?: number }
  | { readonly status: 'fail'; readonly detail: string; readonly hint?: string }
  | { readonly status: 'skip'; readonly detail: string }

/** A failure with a hint at its likely cause. */
export class CheckError extends Error {
  readonly hint: string

  constructor(message: string, hint: string) {
    super(message)
    this.hint = hint
  }
}

export class CheckList {
  readonly checks: Check[] = []
  readonly #onChange: () => void

  /** @param onChange called whenever checks were added */
  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  /** Makes a check. Returns its value, or undefined if the check is not ok. */
  async run<T>(
    name: CheckName,
    family: IpFamily | undefined,
    body: () => Promise<Outcome<T>>,
  ): Promise<T | undefined> {
    const outcome = await outcomeOf(body)
    this.add(name, family, outcome)
    return outcome.status === 'ok' ? outcome.value : undefined
  }

  /** Adds a check that is already made. */
  add(name: CheckName, family: IpFamily | undefined, outcome: Outcome<unknown>): void {
    this.checks.push(checkOf(name, family, outcome))
    this.#onChange()
  }

  /** Adds several checks that were skipped for the same reason. */
  skip(names: readonly CheckName[], detail: string): void {
    for (const name of names) this.checks.push(checkOf(name, undefined, { status: 'skip', detail }))
    this.#onChange()
  }
}

/** The outcome of a check; an error is a failure. */
export async function outcomeOf<T>(body: () => Promise<Outcome<T>>): Promise<Outcome<T>> {
  try {
    return await body()
  } catch (error) {
    const hint = error instanceof CheckError ? { hint: error.hint } : {}
    return { status: 'fail', detail: errorText(error), ...hint }
  }
}

export function checkOf(name: CheckName, family: IpFamily | undefined, outcome: Outcome<unknown>): Check {
  return {
    name,
    family,
    status: outcome.status,
    ms: outcome.status === 'ok' ? outcome.ms : undefined,
    detail: printable(outcome.detail),
    hint: outcome.status === 'fail' && outcome.hint !== undefined ? printable(outcome.hint) : undefined,
  }
}

/** The promise, or an error after the timeout. A later result of the promise is ignored. */
export async function within<T>(timeoutMs: number, what: string, promise: Promise<T>): Promise<T> {
  let limit: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    limit = setTimeout(() => reject(new Error(`${what} within ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(limit)
  }
}

/** The code of a system error; empty for other errors. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused: nothing listens there',
  ECONNRESET: 'the connection was reset',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ENOTFOUND: 'the name does not exist in DNS',
  EAI_AGAIN: 'no answer from DNS',
  EPIPE: 'the connection was closed',
}

/** The reason of an error, in plain words if it is a known one. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // OpenSSL's `reason` is the message without file names and numbers.
  if ('library' in error && 'reason' in error) return `TLS: ${String(error.reason)}`
  return REASONS[codeOf(error)] ?? error.message
}

/** Longer than any message of this program. Text from a relay is cut off there. */
const TEXT_CHARS_MAX = 600

/** One line: part of the text may come from an untrusted relay and must not control a terminal. */
export function printable(text: string): string {
  return printableText(text, { charsMax: TEXT_CHARS_MAX })
}
