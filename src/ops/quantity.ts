// Numbers with their units as people read them on a page and in a terminal. No I/O.

const BITS_PER_BYTE = 8
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
/** What is shown where nothing is known. */
export const UNKNOWN = '–'

/** With thin spaces between thousands. */
export function count(value: number | undefined): string {
  if (value === undefined) return UNKNOWN
  return Math.round(value)
    .toString()
    .replaceAll(/\B(?=(\d{3})+$)/g, '\u{202f}')
}

/** Bits per second of bytes per second, in the unit that fits: value and unit. */
export function bits(bytesPerSecond: number | undefined): readonly [string, string] {
  if (bytesPerSecond === undefined) return [UNKNOWN, '']
  const value = bytesPerSecond * BITS_PER_BYTE
  const units = ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s']
  const at = value < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(value) / 3))
  return [digits(value / 1_000 ** at), units[at] ?? '']
}

/** Bytes as providers count what they sell: `1.2 TB`. */
export function soldBytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  const at = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3))
  return `${digits(bytes / 1_000 ** at)} ${units[at] ?? ''}`
}

export function milliseconds(ms: number | undefined): string {
  return ms === undefined ? UNKNOWN : digits(ms)
}

export function percent(ratio: number | undefined): string {
  if (ratio === undefined) return UNKNOWN
  if (ratio > 0 && ratio < 0.000_1) return '< 0.01'
  return digits(ratio * 100)
}

/** `3 d`, `5 h`, `12 min`, `8 s`. */
export function duration(ms: number): string {
  const units = [
    [DAY_MS, 'd'],
    [HOUR_MS, 'h'],
    [60_000, 'min'],
    [1_000, 's'],
  ] as const
  const [size, unit] = units.find(([least]) => Math.abs(ms) >= 2 * least) ?? [1_000, 's']
  return `${Math.floor(ms / size)} ${unit}`
}

export function clockTime(ms: number): string {
  return new Date(ms).toISOString().slice(11, 19)
}

/** Three digits, or all of a larger whole number. */
function digits(value: number): string {
  if (value === 0) return '0'
  const size = Math.abs(value)
  const text = value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3)
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}
