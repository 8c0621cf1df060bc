// `derpfleet tenants`: what a relay has sent to the clients of each tenant in this month, beside what it may send to them.

import { lineOf, paddedCells } from '#ops/text-table.ts'
import { soldBytesText } from '#ops/quantity.ts'
import { verbCommand } from './verb-command.ts'

const TIMEOUT_MS = 10_000

export const tenants = verbCommand({
  name: 'tenants',
  summary: 'Show what a relay has sent to the clients of each tenant in this month',
  options: {},
  request: () => ({ method: 'GET', verb: 'tenants', parameters: {}, timeoutMs: TIMEOUT_MS }),
  text: (body) => tenantsText(body),
})

/** As far as it is printed. */
interface Row {
  readonly tenant?: string
  readonly sentBytes?: number
  readonly limitBytes?: number
  readonly over?: string
  readonly alarm?: string
}

function tenantsText(body: Readonly<Record<string, unknown>>): string {
  const rows = (Array.isArray(body['tenants']) ? body['tenants'] : []) as readonly Row[]
  if (rows.length === 0) return 'the list of keys says of no tenant how much may be sent to it in a month\n'
  const table = [
    [`TENANT (${String(body['month'])})`, 'SENT', 'OF', 'USED', 'BEYOND IT'],
    ...rows.map(({ tenant = '', sentBytes = 0, limitBytes = 0, over = '' }) => [
      tenant,
      soldBytesText(sentBytes),
      soldBytesText(limitBytes),
      limitBytes > 0 ? `${Math.floor((100 * sentBytes) / limitBytes)} %` : '-',
      over,
    ]),
  ]
  const lines = paddedCells(table, (at) => at > 0 && at < 4).map(lineOf)
  return `${lines.join('\n')}\n`
}
