// `derpfleet kick`: makes a relay end a client's connections, and refuse it for a while.

import { duration, text as anyText } from '#config/option-kind.ts'
import type { OptionTable } from '#config/option.ts'
import { verbCommand } from './verb-command.ts'

const TIMEOUT_MS = 10_000

const OPTIONS = {
  key: {
    kind: anyText('nodekey:<64 hex digits>', 'KEY'),
    about: "The client's node key",
  },
  for: {
    kind: duration,
    fallback: '10m',
    about: 'How long the client is refused. 0: not at all, and a refusal that there is ends',
  },
} as const satisfies OptionTable

export const kick = verbCommand({
  name: 'kick',
  summary: "End a client's connections to a relay, and refuse it for a while",
  options: OPTIONS,
  request: (own) => ({
    method: 'POST',
    verb: 'kick',
    parameters: { key: own.get('key') ?? '', seconds: own.get('for') / 1_000 },
    timeoutMs: TIMEOUT_MS,
  }),
  text: kickText,
})

interface Kicked {
  readonly key?: string
  readonly ended?: number
  readonly refusedForSeconds?: number
}

function kickText(body: Readonly<Record<string, unknown>>): string {
  const { key = '', ended = 0, refusedForSeconds = 0 }: Kicked = body
  const connections = `${ended} connection${ended === 1 ? '' : 's'} ended`
  const ban = refusedForSeconds > 0 ? `refused for ${refusedForSeconds} s` : 'it may come back'
  return `${key}: ${connections}, ${ban}\n`
}
