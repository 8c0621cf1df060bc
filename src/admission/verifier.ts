// The port of an admission backend: one request about one client, and the possible results. A verifier keeps no state
// about clients; the queue decides when it is called. Runs on the control thread.

import type { Budget } from '#protocol/budget.ts'

/** The process's environment variables, which name proxies and trusted certificates. */
export type Environment = Readonly<Record<string, string | undefined>>

export interface VerifyRequest {
  readonly key: Uint8Array
  /** The client's IP as text; empty when unknown. */
  readonly source: string
}

/**
 * - `allowed`, `denied`: the backend's decision.
 * - `unusable`: the backend was reached, and its answer is no decision.
 * - `unreachable`: the backend was not reached, or broke off; the only kind that may fail open.
 * - `fault`: the request could not be made, because of this host or this program.
 */
export type VerifierResultKind = 'allowed' | 'denied' | 'unusable' | 'unreachable' | 'fault'

export interface VerifierResult {
  readonly kind: VerifierResultKind
  /** For operators, without secrets; empty for `allowed`. */
  readonly reason: string
  /** With `allowed`: what the client may send; undefined: nothing is said of that. */
  readonly budget?: Budget | undefined
}

export const ALLOWED: VerifierResult = { kind: 'allowed', reason: '' }

export interface Verifier {
  /** The name in messages and metrics. */
  readonly name: 'url' | 'tailscaled'
  /** Returns a result within its own time limit; never throws. The result of an aborted call means nothing. */
  verify(request: VerifyRequest, signal: AbortSignal): Promise<VerifierResult>
}
