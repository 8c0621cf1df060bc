// How long to wait before connecting again: Tailscale's own curve, so that a fleet's clients return at the pace
// that relays are built for.

const STEP_MS = 10
const DELAY_MS_MAX = 5_000

/**
 * min(10 ms · n², 5 s) times a factor of [0.5, 1.5).
 *
 * @param failureCount n: attempts and connections lost since a message was last received, at least 1
 * @param random a number of [0, 1)
 */
export function backOffMs(failureCount: number, random: number): number {
  return Math.min(STEP_MS * failureCount * failureCount, DELAY_MS_MAX) * (0.5 + random)
}
