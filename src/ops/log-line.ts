// One log line as text for a terminal: time, level, event, then the fields as name=value. It is made from the JSON line,
// so both formats have the same content. A field may contain text from a remote, so control characters are escaped.

/** `14:03:07.123 info  session_ended reason=write_stalled …`; a line that is not a JSON object is shown quoted. */
export function readableLine(jsonLine: string): string {
  const { time, level, event, ...fields } = parse(jsonLine)
  const parts = Object.entries(fields).map(([name, value]) => `${name}=${valueText(value)}`)
  const head = `${clockText(time)} ${wordText(level).padEnd(5)} ${wordText(event)}`
  return `${[head, ...parts].join(' ')}\n`
}

function parse(line: string): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(line)
    if (typeof json === 'object' && json !== null) return { ...json }
  } catch {
    // Not a line of the log; shown as it is.
  }
  return { line: line.trimEnd() }
}

function clockText(time: unknown): string {
  const date = new Date(String(time))
  return Number.isNaN(date.getTime()) ? '??:??:??.???' : date.toISOString().slice(11, 23)
}

/** Level and event come from this program, so they need no escaping. */
function wordText(value: unknown): string {
  return typeof value === 'string' ? value : '?'
}

function valueText(value: unknown): string {
  if (isError(value)) return valueText(value.message)
  if (typeof value === 'string' && /^[!#-<>-~]+$/.test(value)) return value
  return escapeUnprintable(JSON.stringify(value) ?? 'undefined')
}

/** An Error as the log's serializer writes it. The text format leaves the stack out. */
function isError(value: unknown): value is { readonly message: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'stack' in value &&
    'message' in value &&
    typeof value.message === 'string'
  )
}

/** JSON does not escape these, but terminals act on them: DEL, C1 controls, and marks that change the text direction. */
function escapeUnprintable(text: string): string {
  return text.replaceAll(
    /[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
