// Reads a verify URL's answer exactly as derper does, with the rules of Go's encoding/json: the first JSON value of the
// text counts and the rest is ignored; a field's name may be in any case, its last value counts, null is no value, and
// any other type makes the whole answer invalid.

import { budgetOf, type Budget } from '#protocol/budget.ts'

/** What an answer says. */
export interface AllowResponse {
  /** The value of Allow; undefined for an invalid answer. */
  readonly isAllowed: boolean | undefined
  /** The numbers BytesPerSecond and PacketsPerSecond, which derper does not know. Anything else there is passed over, as all other fields are. */
  readonly budget: Budget | undefined
}

const NO_RESPONSE: AllowResponse = { isAllowed: undefined, budget: undefined }

export function readAllow(text: string): AllowResponse {
  const end = firstValueEnd(text)
  if (end === undefined) return NO_RESPONSE
  const value = text.slice(0, end)
  let parsed: unknown
  try {
    parsed = JSON.parse(value)
  } catch {
    return NO_RESPONSE
  }
  if (parsed === null) return { isAllowed: false, budget: undefined }
  if (typeof parsed !== 'object' || Array.isArray(parsed)) return NO_RESPONSE
  const fields = fieldsOf(value)
  const numbers = new Map(fields.map(([name, number]) => [name.toLowerCase(), Number(number)]))
  const budget = budgetOf(numbers.get('bytespersecond'), numbers.get('packetspersecond'))
  return { isAllowed: allowOf(fields), budget }
}

/** The end of the first value if it is complete. Finds objects, arrays and null only. */
export function firstValueEnd(text: string): number | undefined {
  const start = /^[ \t\n\r]*/.exec(text)?.[0].length ?? 0
  if (text.startsWith('null', start)) return start + 4
  if (!'{['.includes(text[start] ?? ' ')) return undefined
  let depth = 0
  for (let at = start; at < text.length; at++) {
    const character = text[at] as string
    if (character === '"') at = stringEnd(text, at) - 1
    else if ('{['.includes(character)) depth++
    else if ('}]'.includes(character) && --depth === 0) return at + 1
  }
  return undefined
}

function allowOf(fields: readonly (readonly [name: string, value: string])[]): boolean | undefined {
  let isAllowed = false
  for (const [name, value] of fields) {
    if (name.toLowerCase() !== 'allow' || value === 'null') continue
    if (value !== 'true' && value !== 'false') return undefined
    isAllowed = value === 'true'
  }
  return isAllowed
}

/** The fields of a well-formed object with their values as text, repeated fields included. */
function fieldsOf(object: string): [name: string, value: string][] {
  const found: [string, string][] = []
  let depth = 0
  let name: string | undefined
  let from = 0
  for (let at = 0; at < object.length; at++) {
    const character = object[at] as string
    if (depth === 1 && (character === ',' || character === '}') && name !== undefined) {
      found.push([name, object.slice(from, at).trim()])
      name = undefined
    }
    if ('{['.includes(character)) depth++
    else if ('}]'.includes(character)) depth--
    else if (character === '"') {
      const end = stringEnd(object, at)
      if (depth === 1 && name === undefined) {
        name = JSON.parse(object.slice(at, end)) as string
        from = object.indexOf(':', end) + 1
      }
      at = end - 1
    }
  }
  return found
}

/** The position behind the closing quote of the string that begins at `start`; beyond the text if there is none. */
function stringEnd(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return at + 1
}
