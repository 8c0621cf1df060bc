// The overview of a relay in one line, and the exit code that says the same: for scripts, cron and monitoring.

import { bits, count, percent, UNKNOWN } from '#ops/quantity.ts'

/** The same on the admin port. */
export const OVERVIEW_PAGE = '/status.json'

const LEVEL_CODES: ReadonlyMap<string, number> = new Map([
  ['ok', 0],
  ['degraded', 1],
  ['down', 2],
])
/** As when it is down: for those who ask, a relay that does not answer is. */
const NO_ANSWER = 2

/** What `derpfleet status -short` ends with. @param body undefined: there was no answer */
export function levelCode(body: OverviewBody | undefined): number {
  return LEVEL_CODES.get(body?.level ?? '') ?? NO_ANSWER
}

/** The relay's answer as far as it is used. */
export interface OverviewBody {
  readonly level?: string
  readonly concerns?: readonly string[]
  readonly hostname?: string
  readonly load?: {
    readonly clients: number
    readonly bytesInPerSecond: number
    readonly bytesOutPerSecond: number
    readonly dropRatio?: number | null
  }
  readonly headroomRatio?: number | null
  readonly relays?: readonly { readonly state: string }[]
}

export function statusLine(body: OverviewBody): string {
  const { level = 'unknown', concerns = [], hostname = '', load, headroomRatio, relays = [] } = body
  const rate = (bytes: number): string => bits(bytes).join(' ')
  const dropped = percent(load?.dropRatio ?? undefined)
  const headroom = percent(headroomRatio ?? undefined)
  const numbers =
    load === undefined
      ? []
      : [
          `${count(load.clients)} clients`,
          `${rate(load.bytesInPerSecond)} in, ${rate(load.bytesOutPerSecond)} out`,
          ...(dropped === UNKNOWN ? [] : [`${dropped} % dropped`]),
          ...(headroom === UNKNOWN ? [] : [`${headroom} % headroom`]),
        ]
  const up = relays.filter(({ state }) => state === 'up').length
  const fleet = relays.length > 1 ? [`${up} of ${relays.length} relays up`] : []
  return `${level} ${hostname}: ${[...concerns, ...numbers, ...fleet].join('; ')}\n`
}
