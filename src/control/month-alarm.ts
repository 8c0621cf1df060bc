// How far the bytes of a month are used up, of a relay and of a tenant alike, and what is said of it. Months are those of UTC. No I/O.

import type { MonthRule } from '#protocol/relay-limits.ts'

/** The first alarm: a fifth of a month's bytes is some days in which something can be done. */
const SOON = 0.8

export type MonthAlarm = 'no' | 'soon' | 'over'

/** Such as `2026-11`. @param wallMs Unix time */
export function monthOf(wallMs: number): string {
  return new Date(wallMs).toISOString().slice(0, 7)
}

export function alarmOf(bytes: number, { bytesMax }: MonthRule): MonthAlarm {
  const share = bytes / bytesMax
  return share >= 1 ? 'over' : share >= SOON ? 'soon' : 'no'
}

/** Data packets are dropped until the month is over. */
export function isDiscoOnly(alarm: MonthAlarm, { over }: MonthRule): boolean {
  return alarm === 'over' && over === 'disco'
}

/** The fields of a line in the log. */
export function alarmFields(
  month: string,
  bytes: number,
  { bytesMax, over }: MonthRule,
): Readonly<Record<string, unknown>> {
  return {
    month,
    bytes,
    limit: bytesMax,
    percent: Math.floor((100 * bytes) / bytesMax),
    policy: over === 'disco' ? 'only disco messages beyond it' : 'everything is relayed',
  }
}
