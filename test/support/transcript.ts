// The lines of a transcript, readable and comparable between relays: frames by name, keys as actors' names, HTTP
// responses with their fields in alphabetical order, ends of connections by kind. Parts that differ from run to run
// (nonces, ports, dates) are masked. Also the comparison of transcripts under a list of known differences.

import { createHash } from 'node:crypto'
import { readU16, readU32, toHex } from '#protocol/bytes.ts'
import { FrameType, GoneReason } from '#protocol/frame-type.ts'
import { readPeerGone, readPeerPresent } from '#protocol/frames.ts'
import { readServerKey } from '#protocol/handshake.ts'
import { ipToText } from '#protocol/ip-address.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'

/** The name of a key in lines. */
export type NameOf = (key: Uint8Array) => string

/** A deliberate difference between derper's transcript and the relay's. */
export interface Difference {
  /** The sentence in docs/compatibility.md. */
  readonly title: string
  /** The dialogues in which it occurs. */
  readonly occurrences: readonly Occurrence[]
}

export interface Occurrence {
  /** The dialogue's title. */
  readonly dialogue: string
  /** Consecutive lines of derper; an empty list stands for the end of the transcript. */
  readonly derper: readonly string[]
  /** The lines of the relay in their place. */
  readonly derpfleet: readonly string[]
  /** The versions of derper to which it applies; by default all. */
  readonly versions?: readonly string[]
}

/** A difference that occurs in the same form in many dialogues, with one version of derper. */
export interface Rewrite {
  readonly title: string
  readonly version: string
  readonly derper: RegExp
  /** A replacement text. */
  readonly derpfleet: string
}

const frameNames = new Map<number, string>(
  Object.entries(FrameType).map(([name, type]) => [type, name.charAt(0).toUpperCase() + name.slice(1)]),
)

/** Longer payloads are shown by length and hash. */
const SHOWN_BYTES_MAX = 40

/** Responses to invalid requests: their text is for people and differs between HTTP servers. */
const refusals = /^HTTP\/1\.\d (400|431|505)\b/
const bodyFields = /^(content-(length|type)|x-content-type-options):/

/** Fields that contain the software or the time. */
const maskedFields = new Set(['date', 'server'])

/** Bytes in angle brackets, or their length and the beginning of their SHA-256. */
export function bytesText(bytes: Uint8Array): string {
  if (bytes.length <= SHOWN_BYTES_MAX) return `<${toHex(bytes)}>`
  return `<${bytes.length} B, ${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}>`
}

/** The line of a frame. Frames with a sealed box are opened by the client itself: see scripted-client.ts. */
export function frameLine(type: number, payload: Uint8Array, nameOf: NameOf): string {
  const name = frameNames.get(type) ?? `frame ${type}`
  const afterKey = (): string => bytesText(payload.subarray(KEY_BYTES))
  switch (type) {
    case FrameType.serverKey:
      return `${name} ${nameOf(readServerKey(payload) ?? payload)} (${payload.length} B)`
    case FrameType.sendPacket:
      return payload.length < KEY_BYTES
        ? `${name} ${bytesText(payload)}`
        : `${name} to ${nameOf(payload.subarray(0, KEY_BYTES))} ${afterKey()}`
    case FrameType.recvPacket:
      return payload.length < KEY_BYTES
        ? `${name} ${bytesText(payload)}`
        : `${name} from ${nameOf(payload.subarray(0, KEY_BYTES))} ${afterKey()}`
    case FrameType.forwardPacket:
      return payload.length < 2 * KEY_BYTES
        ? `${name} ${bytesText(payload)}`
        : `${name} from ${nameOf(payload.subarray(0, KEY_BYTES))} ` +
            `to ${nameOf(payload.subarray(KEY_BYTES, 2 * KEY_BYTES))} ${bytesText(payload.subarray(2 * KEY_BYTES))}`
    case FrameType.closePeer:
      return `${name} ${payload.length === KEY_BYTES ? nameOf(payload) : bytesText(payload)}`
    case FrameType.peerGone:
      return `${name} ${peerGoneText(payload, nameOf)}`
    case FrameType.peerPresent:
      return `${name} ${peerPresentText(payload, nameOf)}`
    default:
      return payload.length === 0 ? name : `${name} ${bytesText(payload)}`
  }
}

/** One line per complete frame that a client sends, and one for the bytes of an incomplete frame. */
export function sentLines(
  bytes: Uint8Array,
  lineOf: (type: number, payload: Uint8Array) => string,
): string[] {
  const lines: string[] = []
  let at = 0
  while (at < bytes.length) {
    if (bytes.length - at < HEADER_BYTES)
      return [...lines, `incomplete header ${bytesText(bytes.subarray(at))}`]
    const [type = 0, length] = [bytes[at], readU32(bytes, at + 1)]
    const payload = bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length)
    if (payload.length < length) {
      const name = frameNames.get(type) ?? `frame ${type}`
      return [...lines, `${name} of ${length} B, first ${payload.length} B`]
    }
    lines.push(lineOf(type, payload))
    at += HEADER_BYTES + length
  }
  return lines
}

function peerGoneText(payload: Uint8Array, nameOf: NameOf): string {
  const gone = readPeerGone(payload)
  if (gone === undefined) return bytesText(payload)
  const reason = Object.entries(GoneReason).find(([, value]) => value === gone.reason)?.[0] ?? gone.reason
  return `${nameOf(gone.key)} ${reason} (${payload.length} B)`
}

function peerPresentText(payload: Uint8Array, nameOf: NameOf): string {
  const present = readPeerPresent(payload)
  if (present === undefined) return bytesText(payload)
  const { key, ip, port, flags, appName } = present
  const from = `${ipToText(ip)}:${port === 0 ? 0 : 'port'}`
  return `${nameOf(key)} ${from} flags ${flags} app ${JSON.stringify(appName)} (${payload.length} B)`
}

/** The lines of an HTTP response: status line, fields in alphabetical order, body. */
export function responseLines(head: string, body: Buffer): string[] {
  const [first = '', ...fields] = head.trimEnd().split('\r\n')
  const status = refusals.exec(first)?.[1]
  if (status !== undefined) {
    const shown = fields.map((field) => fieldText(field, false)).filter((line) => line !== undefined)
    return [`HTTP ${status}`, ...shown.filter((line) => !bodyFields.test(line)).toSorted()]
  }
  const isPage = fields.some((field) => /^content-type: text\/html/i.test(field))
  const shown = fields.map((field) => fieldText(field, isPage)).filter((line) => line !== undefined)
  const text = isPage && body.length > 0 ? 'an HTML page' : JSON.stringify(body.toString('latin1'))
  return [first, ...shown.toSorted(), ...(body.length === 0 ? [] : [`body ${text}`])]
}

function fieldText(field: string, isOfPage: boolean): string | undefined {
  const [name = '', ...rest] = field.split(':')
  const lowered = name.toLowerCase()
  const value = rest.join(':').trim()
  if (maskedFields.has(lowered)) return undefined
  // Neither the text nor the length of an HTML page is compared.
  return `${lowered}: ${isOfPage && lowered === 'content-length' ? 'some' : value}`
}

/** The line of a WebSocket's close frame. */
export function closeFrameLine(payload: Buffer): string {
  const code = payload.length >= 2 ? readU16(payload, 0) : 'without a code'
  // The reason text is for people; programs use the code.
  return `WebSocket close ${code}`
}

/**
 * The expected transcript of the relay: derper's lines with the known differences of the dialogue applied.
 *
 * @throws Error naming a difference that does not occur where it is listed
 */
export function withDifferences(
  lines: readonly string[],
  of: { readonly dialogue: string; readonly version: string },
  differences: readonly Difference[],
): string[] {
  let expected = [...lines]
  for (const { title, occurrences } of differences) {
    for (const { dialogue, derper, derpfleet, versions } of occurrences) {
      if (dialogue !== of.dialogue || versions?.includes(of.version) === false) continue
      const at = indexOfRun(expected, derper)
      if (at < 0) {
        const missing = derper.map((line) => `\n  ${line}`).join('')
        throw new Error(
          `"${title}" is listed for this dialogue, but derper's transcript does not have:${missing}`,
        )
      }
      expected = [...expected.slice(0, at), ...derpfleet, ...expected.slice(at + derper.length)]
    }
  }
  return expected
}

/** The lines after the rewrites for a version of derper; calls `used` with each rewrite that changed a line. */
export function rewritten(
  lines: readonly string[],
  rewrites: readonly Rewrite[],
  used: (rewrite: Rewrite) => void,
): string[] {
  return lines.map((line) => {
    let text = line
    for (const rewrite of rewrites) {
      const next = text.replace(rewrite.derper, rewrite.derpfleet)
      if (next !== text) used(rewrite)
      text = next
    }
    return text
  })
}

/** The transcript's lines for items that a client received. */
export function received(client: string, ...lines: readonly string[]): string[] {
  return lines.map((line) => `${client} < ${line}`)
}

/** An occurrence in which one client receives other items. */
export function receives(
  dialogue: string,
  client: string,
  derper: readonly string[],
  derpfleet: readonly string[],
): Occurrence {
  return { dialogue, derper: received(client, ...derper), derpfleet: received(client, ...derpfleet) }
}

/** The occurrence for one version of derper only. */
export function onlyWith(version: string, occurrence: Occurrence): Occurrence {
  return { ...occurrence, versions: [version] }
}

function indexOfRun(lines: readonly string[], run: readonly string[]): number {
  if (run.length === 0) return lines.length
  return lines.findIndex((_, at) => run.every((line, i) => lines[at + i] === line))
}
