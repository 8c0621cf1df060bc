// `derpfleet kick`: makes a relay, or the whole fleet, end a client's connections and refuse it for a while.

import { boolean, duration, text as anyText } from '#config/option-kind.ts'
import type { Option, OptionTable } from '#config/option.ts'
import { ExitCode } from './command.ts'
import { verbCommand } from './verb-command.ts'

/** Links to siblings may have to be dialled, and each may take its time. */
export const KICK_TIMEOUT_MS = 15_000

export const KEY_OPTION = {
  kind: anyText('nodekey:<64 hex digits>', 'KEY'),
  about: "The client's node key. -key may be left out where the key comes first",
} as const satisfies Option

const OPTIONS = {
  key: KEY_OPTION,
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
  first: 'key',
  request: (own) => ({
    method: 'POST',
    verb: 'kick',
    parameters: {
      key: own.get('key') ?? '',
      seconds: own.get('for') / 1_000,
      // An older relay does not know it.
      ...(own.get('fleet') ? { fleet: true } : {}),
    },
    timeoutMs: KICK_TIMEOUT_MS,
  }),
  text: kickText,
  exitCode: kickExitCode,
})

type Body = Readonly<Record<string, unknown>>

interface Kicked {
  readonly key?: string
  readonly ended?: number
  /** null: until it is allowed again. */
  readonly refusedForSeconds?: number | null
}

interface KickedThere {
  readonly relay: string
  readonly ended: number
  readonly problem: string
}

/** Of each other relay that was asked; empty if none was. */
function othersOf({ fleet = [] }: { readonly fleet?: readonly KickedThere[] }): readonly KickedThere[] {
  return fleet
}

/** 1 if a relay of the fleet has not done it. */
export function kickExitCode(body: Body = {}): number | undefined {
  return othersOf(body).some(({ problem }) => problem !== '') ? ExitCode.failed : undefined
}

/** A line for each other relay that was asked. */
export function othersText(body: Body, doneText: (ended: number) => string): string {
  const lines = othersOf(body).map(
    ({ relay, ended, problem }) =>
      `  ${relay}: ${problem === '' ? doneText(ended) : `NOT DONE: ${problem}`}\n`,
  )
  return lines.join('')
}

function kickText(body: Body): string {
  const { key = '', ended = 0, refusedForSeconds = 0 }: Kicked = body
  const ban = refusedForSeconds === 0 ? 'it may come back' : `refused ${deniedForText(refusedForSeconds)}`
  return `${key}: ${endedText(ended)}, ${ban}\n${othersText(body, endedText)}`
}

/** @param seconds null: it has no end */
export function deniedForText(seconds: number | null): string {
  return seconds === null ? 'until it is allowed again' : `for ${seconds} s`
}

export function endedText(count: number): string {
  return `${count} connection${count === 1 ? '' : 's'} ended`
}
