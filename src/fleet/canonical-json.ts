// JSON in its canonical form (RFC 8785): members sorted by name, no white space, so that equal values have equal bytes and
// a signature over the bytes holds for the value. Numbers are the caller's care: integers and short decimals only.

/** A value as JSON.stringify takes it; members that are undefined are left out. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [name: string]: Json | undefined }

export function canonicalJson(value: Json): string {
  if (typeof value !== 'object' || value === null) return scalar(value)
  if (Array.isArray(value)) return `[${value.map((one: Json) => canonicalJson(one)).join(',')}]`
  const members = Object.entries(value).flatMap(([name, one]) =>
    one === undefined ? [] : [[name, one] as const],
  )
  // Strings compare by UTF-16 code units, as the RFC has it. Sorting them by locale would not.
  members.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([name, one]) => `${scalar(name)}:${canonicalJson(one)}`).join(',')}}`
}

/** Numbers and strings are as JavaScript writes them, which is what the RFC refers to. */
function scalar(value: string | number | boolean | null): string {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new RangeError(`${value} is not JSON`)
  if (typeof value === 'string' && !value.isWellFormed())
    throw new RangeError('half a surrogate pair is not JSON')
  return JSON.stringify(value)
}
