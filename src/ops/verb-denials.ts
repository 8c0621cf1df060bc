// Calls of verbs that were denied because of who called, counted by reason for the metrics: on the admin port, decided in
// token-verbs.ts, and by siblings that may not kick. Runs on the control thread.

import { LineLimit, suppressedFields } from './line-limit.ts'
import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'
import { sample, type MetricFamily } from './metric-family.ts'

/** More lines would say the same. */
const LINES_PER_SECOND = 1

/** A closed list, because they are values of a metric label. */
const VERB_DENIALS = ['no_token', 'wrong_token', 'too_many_attempts', 'sibling'] as const
export type VerbDenial = (typeof VERB_DENIALS)[number]

export class VerbDenials {
  readonly #counts = new Map<VerbDenial, number>(VERB_DENIALS.map((reason) => [reason, 0]))

  count(reason: VerbDenial): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1)
  }

  families(): MetricFamily[] {
    return [
      {
        name: 'derp_verbs_denied_total',
        type: 'counter',
        help: 'Calls of commands that were denied, on the admin port or of a sibling, by reason.',
        samples: [...this.#counts].map(([reason, count]) => sample(count, { reason })),
      },
    ]
  }
}

/** How many lines about denied calls the log gets, from one place where calls are denied. */
export function denialLines(log: Log): LineLimit<string> {
  return new LineLimit<string>({
    linesPerSecond: LINES_PER_SECOND,
    later: (delayMs, callback) => void setTimeout(callback, delayMs).unref(),
    now: () => performance.now(),
    onSuppressed: (counts) => log.warn(LogEvent.verbsDeniedSuppressed, suppressedFields(counts)),
  })
}
