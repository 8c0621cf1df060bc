// The head of one HTTP/1.1 message: finds its end in a byte stream and splits it into first line and fields. Both sides of
// a DERP connection use it until the upgrade. Not an HTTP parser: ignores bodies, chunking and pipelining.

/** Enough for the request of any browser or proxy. A longer head does not come from a DERP client. */
export const HTTP_HEAD_BYTES_MAX = 16_384
/** Several times the fields of browsers behind proxies. The limit bounds memory, which each field costs. */
const FIELD_COUNT_MAX = 100

const CR = 0x0d
const LF = 0x0a

/** A head with its fields by lower-cased name; a repeated field has its first value. */
export interface HttpHead {
  /** The first line's three parts: method, target, version; or version, status, reason. */
  readonly firstLine: readonly [string, string, string]
  readonly fields: ReadonlyMap<string, string>
  /** Names that occur more than once; undefined if there are none. */
  readonly repeated: ReadonlySet<string> | undefined
}

/** The end of the head's final empty line; -1 while the head is incomplete. A bare LF also ends a line. */
export function httpHeadEnd(bytes: Uint8Array, start: number, end: number): number {
  for (let at = bytes.indexOf(LF, start); at >= 0 && at < end; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at + 1] === LF && at + 1 < end) return at + 2
    if (bytes[at + 1] === CR && bytes[at + 2] === LF && at + 2 < end) return at + 3
  }
  return -1
}

/** Splits the head in [start, end); undefined if it is not HTTP. */
export function parseHttpHead(bytes: Buffer, start: number, end: number): HttpHead | undefined {
  const lines = bytes.toString('latin1', start, end).split(/\r?\n/)
  const firstLine = parseFirstLine(lines[0] ?? '')
  if (firstLine === undefined || lines.length > FIELD_COUNT_MAX + 3) return undefined
  const fields = new Map<string, string>()
  let repeated: Set<string> | undefined = undefined
  for (const line of lines.slice(1)) {
    if (line === '') break
    const colon = line.indexOf(':')
    if (colon <= 0) return undefined
    const name = line.slice(0, colon).toLowerCase()
    if (fields.has(name)) (repeated ??= new Set()).add(name)
    else fields.set(name, line.slice(colon + 1).trim())
  }
  return { firstLine, fields, repeated }
}

/**
 * Two words and the rest, separated by single spaces. In two steps: an expression that also matched the rest would try
 * every end of the second word before it fails at a bare CR, which takes a third of a second for one head.
 */
function parseFirstLine(line: string): HttpHead['firstLine'] | undefined {
  const words = /^(\S+) (\S+)/.exec(line)
  if (words === null) return undefined
  const [both, first = '', second = ''] = words
  const rest = line.slice(line[both.length] === ' ' ? both.length + 1 : both.length)
  return rest.includes('\r') ? undefined : [first, second, rest]
}

/** Whether the head may be followed by anything but the next message; also true if its fields contradict each other. */
export function hasBody({ fields, repeated }: HttpHead): boolean {
  if (fields.has('transfer-encoding') || repeated?.has('content-length') === true) return true
  return !/^0*$/.test(fields.get('content-length') ?? '')
}

/** Whether a comma-separated list contains this word, in any case. */
export function hasToken(field: string | undefined, word: string): boolean {
  return (field ?? '').split(',').some((one) => one.trim().toLowerCase() === word)
}
