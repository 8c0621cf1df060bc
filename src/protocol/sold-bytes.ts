// Numbers of bytes as providers count what they sell: `2000000000000`, `500GB` or `20TB`, in options and in lists of keys.

const UNIT_BYTES: Readonly<Record<string, number>> = { '': 1, GB: 1e9, TB: 1e12 }

export const SOLD_BYTES_EXPECTED = 'a number of bytes above 0, such as 500GB or 20TB'

/** Undefined for any other text. */
export function parseSoldBytes(text: string): number | undefined {
  const [, amount, unit = ''] = /^(\d+)(GB|TB)?$/.exec(text) ?? []
  const bytes = Number(amount) * (UNIT_BYTES[unit] ?? Number.NaN)
  return bytes > 0 && bytes <= Number.MAX_SAFE_INTEGER ? bytes : undefined
}
