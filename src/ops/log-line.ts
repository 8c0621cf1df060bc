// One log line as a person reads it on a terminal: time, level, event, then the fields as name=value. Made from the
// JSON line, so that both forms tell the same. What remotes wrote may be in it: control characters never reach the
// terminal.

/** `14:03:07.123 warn  write_stalled remote=192.0.2.1:5 …`; a line that is no JSON object is passed on quoted. */
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
    // Not a line of ours; shown as it is.
  }
  return { line: line.trimEnd() }
}

function clockText(time: unknown): string {
  const date = new Date(String(time))
  return Number.isNaN(date.getTime()) ? '??:??:??.???' : date.toISOString().slice(11, 23)
}

/** Level and event are words of ours. */
function wordText(value: unknown): string {
  return typeof value === 'string' ? value : '?'
}

function valueText(value: unknown): string {
  if (isError(value)) return valueText(value.message)
  if (typeof value === 'string' && /^[!#-<>-~]+$/.test(value)) return value
  return escapeUnprintable(JSON.stringify(value) ?? 'undefined')
}

/** An Error as the log's serializer writes it; its stack is for machines. */
function isError(value: unknown): value is { readonly message: string } {
  return (
    typeof value === 'object' &&
    value !== null &&
    'stack' in value &&
    'message' in value &&
    typeof value.message === 'string'
  )
}

/** What JSON leaves as it is though terminals act on it: DEL, C1 controls, and marks that turn the direction. */
function escapeUnprintable(text: string): string {
  return text.replaceAll(
    /[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
