// `derpfleet top`: a relay and its fleet in a terminal, again every two seconds; with -once, once. Keys choose the order.

import { boolean, choice } from '#config/option-kind.ts'
import type { OptionTable } from '#config/option.ts'
import { OVERVIEW_PAGE } from './status-line.ts'
import { Terminal } from './terminal.ts'
import { SORTS, topText, type Sort } from './top-table.ts'
import { ExitCode } from './command.ts'
import type { VerbResponse } from './verb-client.ts'
import { errorText, verbCommand } from './verb-command.ts'

const TIMEOUT_MS = 10_000
/** As often as the status page. */
const EVERY_MS = 2_000
const HELP =
  'sort by: n name  s state  c clients  t throughput  h headroom  r round trip     space pauses  q quits'
const KEYS: Readonly<Record<string, Sort>> = {
  n: 'name',
  s: 'state',
  c: 'clients',
  t: 'throughput',
  h: 'headroom',
  r: 'rtt',
}
/** q, Ctrl-C and Ctrl-D. */
const QUIT_KEYS: ReadonlySet<string> = new Set(['q', '\u{3}', '\u{4}'])
/** The head, the help and the cursor. */
const OTHER_LINES = 9

const OPTIONS = {
  once: { kind: boolean, fallback: 'false', about: 'Print once, and end. The default without a terminal' },
  sort: {
    kind: choice(...(Object.keys(SORTS) as [Sort, ...Sort[]])),
    fallback: 'name',
    about: 'Order of the relays',
  },
} as const satisfies OptionTable

export const top = verbCommand({
  name: 'top',
  summary: 'Show a relay and its fleet in the terminal, and keep it current',
  options: OPTIONS,
  request: () => ({ method: 'GET', verb: 'overview', timeoutMs: TIMEOUT_MS }),
  page: () => OVERVIEW_PAGE,
  text: (body, own) => topText(body, { sort: own.get('sort'), hasColour: Terminal.hasColour }),
  follow: (ask, own) => (own.get('once') || !Terminal.isThere ? undefined : follow(ask, own.get('sort'))),
})

async function follow(ask: () => Promise<VerbResponse>, first: Sort): Promise<number> {
  const terminal = new Terminal()
  try {
    await showUntilQuit(terminal, ask, first)
  } finally {
    terminal.leave()
  }
  return ExitCode.done
}

async function showUntilQuit(
  terminal: Terminal,
  ask: () => Promise<VerbResponse>,
  first: Sort,
): Promise<void> {
  let sort = first
  let isPaused = false
  const quit = terminal.pressed(QUIT_KEYS)
  // A relay that does not answer keeps nobody here.
  const asked = async (): Promise<VerbResponse | undefined> => await Promise.race([ask(), quit])
  let response = await asked()
  while (response !== undefined) {
    terminal.show(`${screenOf(response, sort, terminal.rows)}\n${isPaused ? 'paused     ' : ''}${HELP}`)
    const key = await terminal.key(EVERY_MS)
    if (QUIT_KEYS.has(key ?? '')) return
    sort = KEYS[key ?? ''] ?? sort
    if (key === ' ') isPaused = !isPaused
    if (key === undefined && !isPaused) response = await asked()
  }
}

export function screenOf(response: VerbResponse, sort: Sort, rows: number): string {
  if ('problem' in response) return `${response.problem}\n`
  if (response.status !== 200) return `${errorText(response.body)}\n`
  const rowsMax = Math.max(1, rows - OTHER_LINES)
  return topText(response.body, { sort, hasColour: Terminal.hasColour, rowsMax })
}
