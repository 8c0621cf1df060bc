// Reasons to doubt the result of a load: a generator at its limit, a schedule that it did not keep, wrong frames,
// closed connections.

import type { Load } from './load.ts'
import { wrongFrames, type LoadOutcome } from './outcome.ts'

/**
 * If the generator is busy for a larger share of the time, the figure may be the generator's limit and not the
 * server's.
 */
const GENERATOR_BUSY_MAX = 0.97
/** If the generator sends a larger share late, it offers another load than was asked for. */
const LATE_SHARE_MAX = 0.02

export function doubtsAbout(server: string, load: Load, outcome: LoadOutcome): string[] {
  const rate = load.rate === 'all' ? 'all that can be sent' : `${Math.round(load.rate)}/s`
  const name = `${server}, ${load.count} ${load.topology} at ${rate}`
  const doubts: string[] = []
  if (outcome.busy > GENERATOR_BUSY_MAX && load.sleeps !== true) {
    doubts.push(`${name}: the generator was busy for more than 97 % of the time`)
  }
  if (outcome.late > LATE_SHARE_MAX * outcome.sent) {
    doubts.push(
      `${name}: the generator sent more than ${100 * LATE_SHARE_MAX} % of the packets over 5 ms late`,
    )
  }
  if (wrongFrames(outcome) > 0) {
    const { corrupted, misdelivered, duplicated, reordered } = outcome
    doubts.push(
      `${name}: WRONG FRAMES: ${corrupted} corrupted, ${misdelivered} misdelivered, ${duplicated} duplicated, ${reordered} reordered`,
    )
  }
  if (outcome.closed > 0) doubts.push(`${name}: the server closed ${outcome.closed} connections`)
  return doubts
}
