// The last events of the log that tell how the relay is, for people who look at it: the newest few, in memory only. Logins and
// ends of sessions are not among them, because they would push out all others within seconds.

import { LogEvent } from './log-event.ts'

/** A page shows them all; older ones are in the log. */
const EVENTS_MAX = 40
/** A line of a page. */
const TEXT_CHARS_MAX = 240

/** What clients do, and calls that change nothing. */
const LEFT_OUT: ReadonlySet<LogEvent> = new Set([
  LogEvent.sessionStarted,
  LogEvent.sessionsStartedSuppressed,
  LogEvent.sessionEnded,
  LogEvent.sessionsEndedSuppressed,
  LogEvent.homeChanged,
  LogEvent.verbRead,
])

export interface RecentEvent {
  readonly atMs: number
  readonly level: 'info' | 'warn' | 'error'
  readonly event: string
  /** The fields of the line, shortened. */
  readonly text: string
}

export class EventRing {
  /** Oldest first. */
  readonly #events: RecentEvent[] = []

  note(level: RecentEvent['level'], event: LogEvent, fields: Readonly<Record<string, unknown>> = {}): void {
    if (LEFT_OUT.has(event)) return
    const text = Object.entries(fields)
      .map(([name, value]) => [name, textOf(value)] as const)
      .filter(([, value]) => value !== '')
      .map((pair) => pair.join(' '))
      .join(', ')
    this.#events.push({ atMs: Date.now(), level, event, text: shortened(text) })
    if (this.#events.length > EVENTS_MAX) this.#events.shift()
  }

  /** Newest first. */
  get newest(): readonly RecentEvent[] {
    return this.#events.toReversed()
  }
}

function textOf(value: unknown): string {
  if (value instanceof Error) return value.message
  if (Array.isArray(value)) return value.map(textOf).join(' ')
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}

function shortened(text: string): string {
  return text.length <= TEXT_CHARS_MAX ? text : `${text.slice(0, TEXT_CHARS_MAX - 1)}…`
}
