// `derpfleet drain`: makes a relay on this host move its clients away and stop, as SIGTERM does.

import { boolean } from '#config/option-kind.ts'
import type { OptionTable } from '#config/option.ts'
import { verbCommand } from './verb-command.ts'

/** The answer without -wait comes when the drain has begun. */
const TIMEOUT_MS = 10_000

const OPTIONS = {
  wait: {
    kind: boolean,
    fallback: 'false',
    about: 'Wait until no client is left, and print how many were moved and what was lost',
  },
} as const satisfies OptionTable

export const drain = verbCommand({
  name: 'drain',
  summary: 'Make a relay that runs on this host move its clients away and stop',
  options: OPTIONS,
  request: (own) => ({
    method: 'POST',
    verb: 'drain',
    parameters: { wait: own.get('wait') },
    // A drain takes as long as the relay's own settings say.
    timeoutMs: own.get('wait') ? undefined : TIMEOUT_MS,
  }),
  text: drainText,
})

/** The shape of the relay's answer, as far as it is printed. */
interface Drain {
  readonly remaining?: number
  readonly moved?: number
  readonly forced?: number
  readonly left?: number
  readonly lost?: number
}

function drainText(body: Readonly<Record<string, unknown>>): string {
  const { remaining = 0, moved, forced = 0, left = 0, lost = 0 }: Drain = body
  if (moved === undefined) return `draining; clients connected: ${remaining}\n`
  return `drained; clients: ${moved} moved, ${forced} cut off, ${left} left by themselves; packets lost: ${lost}\n`
}
