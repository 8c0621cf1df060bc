// `derpfleet lane status`: who is on the lane of a relay, its port for stock WireGuard peers.

import { lineOf, paddedCells } from '#ops/text-table.ts'
import type { Command } from './command.ts'
import { ExitCode } from './command.ts'
import { verbCommand } from './verb-command.ts'

const TIMEOUT_MS = 10_000

const status = verbCommand({
  name: 'lane status',
  summary: 'Show who is on the lane of a relay',
  options: {},
  request: () => ({ method: 'GET', verb: 'lane', parameters: {}, timeoutMs: TIMEOUT_MS }),
  text: (body) => laneText(body),
})

export const lane: Command = {
  name: 'lane',
  summary: 'Show which WireGuard peers are on the lane of a relay: lane status',
  async run([name = '', ...args], io) {
    if (name === 'status') return await status.run(args, io)
    const isHelp = /^--?h(elp)?$/.test(name)
    const sink = isHelp ? io.stdout : io.stderr
    sink.write(
      `usage: derpfleet lane status [-FLAG VALUE]...\n\nRun "derpfleet lane status -help" for its options.\n`,
    )
    return isHelp ? ExitCode.done : ExitCode.misused
  },
}

type Body = Readonly<Record<string, unknown>>

interface Row {
  readonly name: string
  readonly key?: string
  readonly remote?: string
  readonly isHere: boolean
  readonly provenAgoS?: number
  readonly isConnected: boolean
  readonly links: number
}

function laneText(body: Body): string {
  const rows = (Array.isArray(body['members']) ? body['members'] : []) as readonly Row[]
  const here = rows.filter(({ isHere }) => isHere).length
  const table = [
    ['NAME', 'KEY', 'ADDRESS', 'PROVEN', 'LINKS', 'ALSO BY DERP'],
    ...rows.map((row) => [
      row.name,
      row.key ?? '-',
      row.isHere ? (row.remote ?? 'hidden') : '-',
      row.isHere ? `${row.provenAgoS} s ago` : '-',
      `${row.links}`,
      row.isConnected ? 'yes' : 'no',
    ]),
  ]
  const lines = paddedCells(table).map(lineOf)
  const head = `lane on ${String(body['listen'])}, public key ${String(body['publicKey'])}: ${here} of ${rows.length} peers here`
  return `${[head, ...lines].join('\n')}\n`
}
