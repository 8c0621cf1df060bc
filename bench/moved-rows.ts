// The rows of clients that exchange packets while they must move from one server to another: what they lose, and for how long
// they are away.

import type { Row } from './figure.ts'
import { delayMs } from './load/delays.ts'
import type { MovedOutcome } from './load/outcome.ts'
import { rowOf, withOwnTarget } from './row.ts'

/** @param label begins the first row */
export function movedRows(
  label: string,
  measured: ReadonlyMap<{ readonly name: string }, readonly MovedOutcome[]>,
): Row[] {
  const count = (text: string, of: (round: MovedOutcome) => number): Row =>
    rowOf({ unit: '', digits: 0, label: text }, measured, of)
  const time = (text: string, of: (round: MovedOutcome) => number): Row =>
    rowOf({ unit: 'ms', digits: 1, label: text }, measured, of)
  const p99 = count(`${label}: packets of a client lost, p99`, (round) => round.lostP99)
  return [
    withOwnTarget(p99, '≤ 1', (median) => median <= 1),
    count('– the most of one client', (round) => round.lostMost),
    count('– packets lost in all', ({ sent, received }) => sent - received),
    count('– packets sent', (round) => round.sent),
    count('– packets received twice', (round) => round.repeated),
    count('– not sent for lack of a connection', (round) => round.unsent),
    count('– not sent because the generator was behind', (round) => round.late),
    count('– connections that ended', (round) => round.disconnects),
    time('– time without a connection, p50', ({ away }) => delayMs(away, 0.5)),
    time('– the same, p99', ({ away }) => delayMs(away, 0.99)),
    time("– packets' delay, p99", ({ delays }) => delayMs(delays, 0.99)),
  ]
}
