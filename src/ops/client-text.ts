// The list of clients as text for a terminal or a plain page: a line with the whole, and a row for each connection. No I/O.

import type { ClientList, ListedClient } from './client-list.ts'
import { bits, clockTime, count, duration } from './quantity.ts'
import { lineOf, paddedCells } from './text-table.ts'

interface Column {
  readonly title: string
  readonly isRight: boolean
  cell(client: ListedClient, list: ClientList): string
}

const WAYS: Readonly<Record<string, string>> = { fast_start: 'fast', derp: 'derp', websocket: 'ws' }

const COLUMNS: readonly Column[] = [
  { title: 'KEY', isRight: false, cell: ({ key }) => key },
  { title: 'SINCE', isRight: true, cell: ({ sinceMs }, { atMs }) => duration(atMs - sinceMs) },
  {
    title: 'WAY',
    isRight: false,
    cell: ({ way }, { isTls }) => `${isTls ? 'tls' : 'plain'}/${WAYS[way] ?? way}`,
  },
  { title: 'HOME', isRight: false, cell: ({ isHome }) => (isHome ? 'home' : '') },
  { title: 'IN', isRight: true, cell: ({ received }) => rate(received.bytesPerSecond) },
  { title: 'OUT', isRight: true, cell: ({ sent }) => rate(sent.bytesPerSecond) },
  { title: 'PKT/S IN', isRight: true, cell: ({ received }) => count(received.packetsPerSecond) },
  { title: 'PKT/S OUT', isRight: true, cell: ({ sent }) => count(sent.packetsPerSecond) },
  {
    title: 'QUEUE',
    isRight: true,
    cell: ({ queuedBytes, queuedPackets }) =>
      queuedPackets === 0 ? '0' : `${count(queuedPackets)} (${count(queuedBytes)} B)`,
  },
  { title: 'DROPS', isRight: true, cell: ({ dropped }) => count(dropped) },
  { title: 'SENDERS', isRight: true, cell: ({ senders }) => count(senders) },
  { title: 'TENANT', isRight: false, cell: ({ tenant }) => tenant },
  { title: 'REMOTE', isRight: false, cell: ({ remote }) => remote },
  { title: 'NOTES', isRight: false, cell: notesOf },
]

export function clientsText(list: ClientList): string {
  const { clients, matching } = list
  const cells = clients.map((client) => COLUMNS.map((column) => column.cell(client, list)))
  const titles = COLUMNS.map(({ title }) => title)
  const rows = paddedCells([titles, ...cells], (at) => COLUMNS[at]?.isRight === true).map(lineOf)
  const hidden = matching - clients.length
  return `${[headOf(list), '', ...rows, ...(hidden > 0 ? [`${hidden} more`] : [])].join('\n')}\n`
}

function headOf({ connections, keys, homes, duplicateKeys, overMs, atMs, isComplete }: ClientList): string {
  return [
    `${count(connections)} connections of ${count(keys)} keys`,
    `${count(homes)} at home here`,
    ...(duplicateKeys > 0 ? [`${count(duplicateKeys)} keys with several connections`] : []),
    `rates over ${(overMs / 1_000).toFixed(1)} s`,
    ...(isComplete ? [] : ['some are missing: a thread does not answer']),
    `${clockTime(atMs)} UTC`,
  ].join('  ')
}

function notesOf({ kind, isDuplicate, isActive, isNotIdeal, app }: ListedClient): string {
  return [
    ...(kind === 'client' ? [] : [kind]),
    ...(isDuplicate && kind !== 'sibling' ? [isActive ? 'duplicate, receives' : 'duplicate'] : []),
    ...(isNotIdeal ? ['not ideal'] : []),
    ...(app === '' ? [] : [app]),
  ].join(', ')
}

function rate(bytesPerSecond: number): string {
  return bits(bytesPerSecond).join(' ').trim()
}
