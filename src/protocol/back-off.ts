// Delays before the next attempt. The only place that computes them; each caller owns its curve's
// parameters, its count of failures and its timer. Pure: no clock, no timer, and randomness is passed in.

/** How the delay depends on n, the number of failures so far. */
const GROWTH = {
  constant: () => 1,
  doubling: (n: number) => 2 ** (n - 1),
  square: (n: number) => n * n,
} as const

/** One curve of delays. */
export interface BackOff {
  /** The delay after the first failure, before jitter. */
  readonly firstMs: number
  readonly growth: keyof typeof GROWTH
  /** Upper limit of the delay, before jitter. */
  readonly maxMs: number
  readonly jitter: Jitter
}

/** The delay is multiplied by a random number of [from, to), so that many clients do not reconnect together. */
export interface Jitter {
  readonly from: number
  readonly to: number
}

/** Tailscale's client curve, min(10 ms · n², 5 s) × [0.5, 1.5): relays are built for clients that return at this rate. */
export const TAILSCALE_BACK_OFF: BackOff = {
  firstMs: 10,
  growth: 'square',
  maxMs: 5_000,
  jitter: { from: 0.5, to: 1.5 },
}

export const NO_JITTER: Jitter = { from: 1, to: 1 }

/**
 * @param failureCount consecutive failures, at least 1
 * @param random a number of [0, 1)
 */
export function backOffMs(
  { firstMs, growth, maxMs, jitter }: BackOff,
  failureCount: number,
  random: number,
): number {
  return jittered(Math.min(firstMs * GROWTH[growth](failureCount), maxMs), jitter, random)
}

/** A fixed delay with jitter. */
export function jittered(delayMs: number, { from, to }: Jitter, random: number): number {
  return delayMs * (from + random * (to - from))
}
