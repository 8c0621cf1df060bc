// How much may be sent in a second: by one connection, the connections of a key, the clients of a tenant, or all clients of a relay.
// Reads budgets as operators write them, the same in options, lists of keys and leases. Whose budget counts is decided elsewhere.
//
//   bytes-per-second 12500000 packets-per-second 20000
//   bytes-per-second unlimited
//
// Contract: fields may be left out. Each is a whole number of 1 or more, or `unlimited`.

/** Infinity: as much as they like. */
export interface Budget {
  readonly bytesPerSecond: number
  readonly packetsPerSecond: number
}

export const NO_BUDGET: Budget = { bytesPerSecond: Infinity, packetsPerSecond: Infinity }

/** A burst has 64 KiB: with less per second, one packet of the largest size would take more than ten seconds. */
export const BYTES_PER_SECOND_MIN = 8_192
const UNLIMITED = 'unlimited'
const WORDS_MAX = 16

export interface NumberField<Name extends string> {
  readonly name: Name
  readonly min: number
  readonly max: number
  readonly mayBeUnlimited?: true
}

export const BUDGET_FIELDS = {
  'bytes-per-second': {
    name: 'bytesPerSecond',
    min: BYTES_PER_SECOND_MIN,
    max: Number.MAX_SAFE_INTEGER,
    mayBeUnlimited: true,
  },
  'packets-per-second': {
    name: 'packetsPerSecond',
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
    mayBeUnlimited: true,
  },
} as const satisfies Readonly<Record<string, NumberField<keyof Budget>>>

/**
 * Reads pairs of a field's word and its number; each word once.
 *
 * @returns those that are there, by their names; the problem completes "FILE:LINE: …"
 */
export function readNumberFields<Name extends string>(
  words: readonly string[],
  known: Readonly<Record<string, NumberField<Name>>>,
): { readonly fields: Partial<Record<Name, number>> } | { readonly problem: string } {
  const fields: Partial<Record<Name, number>> = {}
  for (let at = 0; at < words.length && at < WORDS_MAX; at += 2) {
    const [word = '', value = ''] = words.slice(at, at + 2)
    const field = Object.hasOwn(known, word) ? known[word] : undefined
    if (field === undefined)
      return { problem: `"${word.slice(0, 40)}"; expected ${Object.keys(known).join(', ')}` }
    if (fields[field.name] !== undefined) return { problem: `a second ${word}` }
    const number = numberIn(value, field)
    if (number === undefined)
      return { problem: `${word} is "${value.slice(0, 40)}"; expected ${expectedOf(field)}` }
    fields[field.name] = number
  }
  return { fields }
}

/** The words of a budget, at least one pair of them. */
export function readBudget(
  words: readonly string[],
): { readonly budget: Budget } | { readonly problem: string } {
  const read = readNumberFields(words, BUDGET_FIELDS)
  if ('problem' in read) return read
  if (words.length === 0) return { problem: `no budget; expected ${Object.keys(BUDGET_FIELDS).join(', ')}` }
  return { budget: { ...NO_BUDGET, ...read.fields } }
}

/** As `readBudget` reads it. */
export function budgetWords(budget: Budget): readonly string[] {
  const words = Object.entries(BUDGET_FIELDS).flatMap(([word, { name }]) =>
    Number.isFinite(budget[name]) ? [word, String(budget[name])] : [],
  )
  return words.length > 0 ? words : ['bytes-per-second', UNLIMITED]
}

/** The budget of an answer of admission or of a file of this program: anything else than useful numbers is no budget. */
export function budgetOf(bytesPerSecond: unknown, packetsPerSecond: unknown): Budget | undefined {
  const bytes = wholeNumber(bytesPerSecond, BYTES_PER_SECOND_MIN)
  const packets = wholeNumber(packetsPerSecond, 1)
  if (bytes === undefined && packets === undefined) return undefined
  return { bytesPerSecond: bytes ?? Infinity, packetsPerSecond: packets ?? Infinity }
}

export function isSameBudget(one: Budget | undefined, other: Budget | undefined): boolean {
  return one?.bytesPerSecond === other?.bytesPerSecond && one?.packetsPerSecond === other?.packetsPerSecond
}

/** A part of it: where several count apart from each other. */
export function dividedBudget({ bytesPerSecond, packetsPerSecond }: Budget, by: number): Budget {
  return { bytesPerSecond: bytesPerSecond / by, packetsPerSecond: packetsPerSecond / by }
}

function numberIn(text: string, { min, max, mayBeUnlimited }: NumberField<string>): number | undefined {
  if (mayBeUnlimited === true && text === UNLIMITED) return Infinity
  const number = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : Number.NaN
  return number >= min && number <= max ? number : undefined
}

function expectedOf({ min, max, mayBeUnlimited }: NumberField<string>): string {
  const range = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`
  return `a whole number, ${range}${mayBeUnlimited === true ? `, or ${UNLIMITED}` : ''}`
}

function wholeNumber(value: unknown, min: number): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= min ? value : undefined
}
