// The answers of `/generate_204` to challenges of clients that look for a captive portal. The status is always 204. A
// challenge with other characters, or of more than 64, gets no response field.

export interface ChallengeVector {
  /** The value of X-Tailscale-Challenge; undefined: the field is missing. */
  readonly challenge: string | undefined
  /** The value of X-Tailscale-Response; undefined: the field is absent. */
  readonly response: string | undefined
}

const longest = 'x'.repeat(64)

export const challenges: readonly ChallengeVector[] = [
  { challenge: 'ts_203.0.113.7', response: 'response ts_203.0.113.7' },
  { challenge: 'input', response: 'response input' },
  { challenge: longest, response: `response ${longest}` },
  { challenge: 'a b', response: undefined },
  { challenge: 'a/b', response: undefined },
  { challenge: `${longest}x`, response: undefined },
  { challenge: undefined, response: undefined },
]
