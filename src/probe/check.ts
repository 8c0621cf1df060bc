// One finding of a probe, and the list that a relay's findings are gathered in. A check ends in one of three ways:
// it is good, it has failed, or it could not be made and says why. Whatever a check throws is its failure.

import type { IpFamily } from '#cli/probe-options.ts'

/** What is checked, in the words of the output. */
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
  /** Where a check is made over each family on its own. */
  readonly family: IpFamily | undefined
  readonly status: 'ok' | 'fail' | 'skip'
  /** How long what is checked took; undefined where that says nothing. */
  readonly ms: number | undefined
  readonly detail: string
  /** What to do about it. */
  readonly hint: string | undefined
}

/** How a check ends that does not throw. */
export type Outcome<T> =
  | { readonly status: 'ok'; readonly value: T; readonly detail: string; readonly ms?: number }
  | { readonly status: 'fail'; readonly detail: string; readonly hint?: string }
  | { readonly status: 'skip'; readonly detail: string }

/** A failure whose cause is likely enough to be named. */
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

  /** @param onChange told whenever checks were added */
  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  /** Makes a check; answers its value, undefined when it is not good. */
  async run<T>(
    name: CheckName,
    family: IpFamily | undefined,
    body: () => Promise<Outcome<T>>,
  ): Promise<T | undefined> {
    const outcome = await outcomeOf(body)
    this.add(name, family, outcome)
    return outcome.status === 'ok' ? outcome.value : undefined
  }

  /** Adds a check that was made already. */
  add(name: CheckName, family: IpFamily | undefined, outcome: Outcome<unknown>): void {
    this.checks.push(checkOf(name, family, outcome))
    this.#onChange()
  }

  /** Several checks that can't be made for one reason. */
  skip(names: readonly CheckName[], detail: string): void {
    for (const name of names) this.checks.push(checkOf(name, undefined, { status: 'skip', detail }))
    this.#onChange()
  }
}

/** What a check comes to, its error included. */
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

/** The promise, or an error when it takes too long; what it would have become is then ignored. */
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

/** The code of a system's error; empty for others. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused: nothing listens there',
  ECONNRESET: 'the connection was reset',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to its network',
  ENOTFOUND: 'DNS knows no such name',
  EAI_AGAIN: 'DNS does not answer',
  EPIPE: 'the connection was closed',
}

/** What went wrong, without the runtime's wrapping where the reason is a known one. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // OpenSSL's own words stand apart from its file names and numbers.
  if ('library' in error && 'reason' in error) return `TLS: ${String(error.reason)}`
  return REASONS[codeOf(error)] ?? error.message
}

/** Longer than any message of ours; a relay's own words are cut off there. */
const TEXT_CHARS_MAX = 600

/** The same on one line and without what would command a terminal: some of it is what a stranger sent. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- those are what is taken out
  return text.slice(0, TEXT_CHARS_MAX).replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e]+/g, ' ')
}
