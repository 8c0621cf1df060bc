// What an operator says of a tenant: its weight where clients compete for the relay, and how much its clients may send together.
// Reads one line of the list of keys; who is of which tenant is said there, too (key-list.ts).
//
//   tenant blue weight 2 bytes-per-second 12500000 packets-per-second 20000
//
// Contract: fields may be left out. Each is a whole number of 1 or more.

/** Of one tenant of one relay. */
export interface TenantRule {
  /** Its share of a relay that cannot read all that is sent, beside those of other tenants. */
  readonly weight: number
  /** What its clients may send together; Infinity: as much as they like. */
  readonly bytesPerSecond: number
  readonly packetsPerSecond: number
}

export const TENANT_NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/
export const TENANT_NAME_EXPECTED = '1 to 32 of a-z, 0-9 and -, not at either end'
/** Of a tenant about which nothing is said, and of all clients without one. */
export const USUAL_TENANT: TenantRule = { weight: 1, bytesPerSecond: Infinity, packetsPerSecond: Infinity }

/** A tenant with a thousandth of another one's share waits for a second where that one waits for a millisecond. */
const WEIGHT_MAX = 1_000
/** A burst has 64 KiB: with less per second, one packet of the largest size would take more than ten seconds. */
const BYTES_PER_SECOND_MIN = 8_192

const FIELDS = {
  weight: { name: 'weight', min: 1, max: WEIGHT_MAX },
  'bytes-per-second': { name: 'bytesPerSecond', min: BYTES_PER_SECOND_MIN, max: Number.MAX_SAFE_INTEGER },
  'packets-per-second': { name: 'packetsPerSecond', min: 1, max: Number.MAX_SAFE_INTEGER },
} as const

/** @param words of the line, after `tenant`. The problem completes "FILE:LINE: …" */
export function readTenantRule(
  words: readonly string[],
): { readonly name: string; readonly rule: TenantRule } | { readonly problem: string } {
  const [name = '', ...fields] = words
  if (!TENANT_NAME.test(name))
    return { problem: `the tenant "${name.slice(0, 40)}"; expected ${TENANT_NAME_EXPECTED}` }
  const rule: { -readonly [Name in keyof TenantRule]: TenantRule[Name] } = { ...USUAL_TENANT }
  const seen = new Set<string>()
  for (let at = 0; at < fields.length; at += 2) {
    const [word = '', value = ''] = fields.slice(at, at + 2)
    if (!isField(word))
      return { problem: `"${word.slice(0, 40)}"; expected ${Object.keys(FIELDS).join(', ')}` }
    if (seen.has(word)) return { problem: `a second ${word}` }
    seen.add(word)
    const { name: field, min, max } = FIELDS[word]
    const number = /^[1-9]\d{0,15}$/.test(value) ? Number(value) : Number.NaN
    if (!(number >= min && number <= max)) {
      const expected = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`
      return { problem: `${word} is "${value.slice(0, 40)}"; expected a whole number, ${expected}` }
    }
    rule[field] = number
  }
  return { name, rule }
}

function isField(word: string): word is keyof typeof FIELDS {
  return Object.hasOwn(FIELDS, word)
}
