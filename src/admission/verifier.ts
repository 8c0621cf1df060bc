// What a back end of admission is asked, and what can come of it. A verifier asks one back end about one client and
// remembers nothing; who is asked when is the queue's affair.

export interface Applicant {
  readonly key: Uint8Array
  /** IP in text, empty when unknown. */
  readonly source: string
}

/**
 * - `allowed`, `denied`: it knows.
 * - `unusable`: it was reached, and what it said is no answer to the question.
 * - `unreachable`: it was not reached, or broke off; the only one that may fail open.
 * - `fault`: the question could not be put for a reason of ours.
 */
export type VerifierResultKind = 'allowed' | 'denied' | 'unusable' | 'unreachable' | 'fault'

export interface VerifierResult {
  readonly kind: VerifierResultKind
  /** In words, without secrets; empty for `allowed`. */
  readonly reason: string
}

export const ALLOWED: VerifierResult = { kind: 'allowed', reason: '' }

export interface Verifier {
  /** As messages and metrics name it. */
  readonly name: 'url' | 'tailscaled'
  /** Always answers, within its own time limit; never throws. An aborted one may answer anything. */
  verify(applicant: Applicant, signal: AbortSignal): Promise<VerifierResult>
}
