// `derpfleet clients`: who is connected to a relay, and who talks most.

import { boolean, choice, integer, text as anyText, type OptionKind } from '#config/option-kind.ts'
import type { OptionTable } from '#config/option.ts'
import type { OptionValues } from '#config/option-values.ts'
import { CLIENT_SORTS, CLIENTS_MAX, CLIENTS_SHOWN, isKeyFilter, type ClientList } from '#ops/client-list.ts'
import { clientsText } from '#ops/client-text.ts'
import { verbCommand } from './verb-command.ts'

const TIMEOUT_MS = 10_000

const keyFilter: OptionKind<string> = {
  ...anyText('nodekey: and hex digits, hex digits that a key begins with, or the short form [abcde]', 'KEY'),
  parse: (given) => (isKeyFilter(given) ? given : undefined),
}

const OPTIONS = {
  sort: {
    kind: choice(...CLIENT_SORTS),
    fallback: 'bytes',
    about: 'Order: most bytes or packets per second, most drops, longest queue, or longest connected first',
  },
  limit: { kind: integer(1, CLIENTS_MAX), fallback: `${CLIENTS_SHOWN}`, about: 'Rows to print at most' },
  key: {
    kind: keyFilter,
    about: 'Print connections of keys that begin so',
  },
  'full-keys': { kind: boolean, fallback: 'false', about: 'Print whole keys, not their short forms' },
} as const satisfies OptionTable

export const clients = verbCommand({
  name: 'clients',
  summary: 'Show who is connected to a relay, and who talks most',
  options: OPTIONS,
  request: (own) => ({
    method: 'GET',
    verb: 'clients',
    parameters: {
      sort: own.get('sort'),
      limit: own.get('limit'),
      ...keyOf(own),
      fullKeys: own.get('full-keys'),
    },
    timeoutMs: TIMEOUT_MS,
  }),
  page: (own) => {
    const query = new URLSearchParams({
      sort: own.get('sort'),
      limit: `${own.get('limit')}`,
      ...keyOf(own),
      ...(own.get('full-keys') ? { keys: 'full' } : {}),
    })
    return `/clients.json?${query.toString()}`
  },
  text: (body) => clientsText(listOf(body)),
})

function keyOf(own: OptionValues<typeof OPTIONS>): { readonly key?: string } {
  const key = own.get('key')
  return key === undefined ? {} : { key }
}

/** What is not there is of something else than a relay, or of another version. */
const NOBODY: ClientList = {
  atMs: 0,
  overMs: 0,
  isComplete: false,
  isTls: false,
  connections: 0,
  keys: 0,
  homes: 0,
  duplicateKeys: 0,
  matching: 0,
  clients: [],
}

function listOf(body: Readonly<Record<string, unknown>>): ClientList {
  return { ...NOBODY, ...body }
}
