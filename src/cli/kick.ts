// `derpfleet kick`: makes a relay, or the whole fleet, end a client's connections and refuse it for a while.

import { boolean, duration, text as anyText } from '#config/option-kind.ts'
import type { OptionTable } from '#config/option.ts'
import { ExitCode } from './command.ts'
import { verbCommand } from './verb-command.ts'

/** Links to siblings may have to be dialled, and each may take its time. */
const TIMEOUT_MS = 15_000

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
  fleet: {
    kind: boolean,
    fallback: 'false',
    about:
      'Ask all relays of the fleet to do the same. Those that do not take kicks from this relay (-kicks-from) are named, and the exit code is 1',
  },
} as const satisfies OptionTable

export const kick = verbCommand({
  name: 'kick',
  summary: "End a client's connections to a relay or to the fleet, and refuse it for a while",
  options: OPTIONS,
  request: (own) => ({
    method: 'POST',
    verb: 'kick',
    parameters: {
      key: own.get('key') ?? '',
      seconds: own.get('for') / 1_000,
      // An older relay does not know it.
      ...(own.get('fleet') ? { fleet: true } : {}),
    },
    timeoutMs: TIMEOUT_MS,
  }),
  text: kickText,
  exitCode: (body) => (failedRelays(body ?? {}).length > 0 ? ExitCode.failed : undefined),
})

interface Kicked {
  readonly key?: string
  readonly ended?: number
  readonly refusedForSeconds?: number
  /** Left out: no other relay was asked. */
  readonly fleet?: readonly KickedThere[]
}

interface KickedThere {
  readonly relay: string
  readonly ended: number
  readonly problem: string
}

function failedRelays({ fleet = [] }: Kicked): readonly KickedThere[] {
  return fleet.filter(({ problem }) => problem !== '')
}

function kickText(body: Readonly<Record<string, unknown>>): string {
  const kicked: Kicked = body
  const { key = '', ended = 0, refusedForSeconds = 0, fleet = [] } = kicked
  const ban = refusedForSeconds > 0 ? `refused for ${refusedForSeconds} s` : 'it may come back'
  const others = fleet.map(
    ({ relay, ended: there, problem }) =>
      `  ${relay}: ${problem === '' ? endedText(there) : `NOT DONE: ${problem}`}\n`,
  )
  return `${key}: ${endedText(ended)}, ${ban}\n${others.join('')}`
}

function endedText(count: number): string {
  return `${count} connection${count === 1 ? '' : 's'} ended`
}
