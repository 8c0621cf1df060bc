// What was said in a dialogue, as lines that people can read and two relays can be compared by: frames by name with
// keys as actors' names, HTTP answers with their fields in alphabetical order, ends of connections by kind. What
// differs from run to run (nonces, ports, dates) is masked. Also the comparison, under a list of known differences.

import { createHash } from 'node:crypto'
import { readU16, readU32, toHex } from '#protocol/bytes.ts'
import { FrameType, GoneReason } from '#protocol/frame-type.ts'
import { readPeerGone, readPeerPresent } from '#protocol/frames.ts'
import { readServerKey } from '#protocol/handshake.ts'
import { ipToText } from '#protocol/ip-address.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'

/** What a key is called in lines. */
export type NameOf = (key: Uint8Array) => string

/** A deliberate difference between derper's transcript and the relay's. */
export interface Difference {
  /** The sentence under which the documentation tells of it. */
  readonly title: string
  /** Where it shows: by scene, what derper's lines are and what the relay's are in their place. */
  readonly shows: readonly Showing[]
}

export interface Showing {
  readonly scene: string
  /** Consecutive lines of derper's; an empty list stands for the end of the transcript. */
  readonly derper: readonly string[]
  readonly derpfleet: readonly string[]
  /** Only in comparison with these versions of derper; without it, with every version. */
  readonly versions?: readonly string[]
}

/** A difference that shows in the same form in many scenes, with one version of derper. */
export interface Rewriting {
  readonly title: string
  readonly version: string
  readonly derper: RegExp
  /** A replacement text. */
  readonly derpfleet: string
}

const frameNames = new Map<number, string>(
  Object.entries(FrameType).map(([name, type]) => [type, name.charAt(0).toUpperCase() + name.slice(1)]),
)

/** Payloads longer than this appear by length and hash. */
const SHOWN_BYTES_MAX = 40

/** Answers to what is no good request: their words are for people, and every HTTP server has its own. */
const refusals = /^HTTP\/1\.\d (400|431|505)\b/
const wordFields = /^(content-(length|type)|x-content-type-options):/

/** Fields that name the software or the time. */
const maskedFields = new Set(['date', 'server', 'uwebsockets'])

/** Bytes in angle brackets, or their length and the beginning of their SHA-256. */
export function bytesText(bytes: Uint8Array): string {
  if (bytes.length <= SHOWN_BYTES_MAX) return `<${toHex(bytes)}>`
  return `<${bytes.length} B, ${createHash('sha256').update(bytes).digest('hex').slice(0, 12)}>`
}

/** The line of a frame that both sides understand alike; those sealed for one client are the player's to open. */
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

/** One line for each whole frame in what a client sends, and one for what is left of an unfinished one. */
export function sentLines(
  bytes: Uint8Array,
  lineOf: (type: number, payload: Uint8Array) => string,
): string[] {
  const lines: string[] = []
  let at = 0
  while (at < bytes.length) {
    if (bytes.length - at < HEADER_BYTES) return [...lines, `header begun ${bytesText(bytes.subarray(at))}`]
    const [type = 0, length] = [bytes[at], readU32(bytes, at + 1)]
    const payload = bytes.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length)
    if (payload.length < length) {
      const name = frameNames.get(type) ?? `frame ${type}`
      return [...lines, `${name} of ${length} B, of which ${payload.length} B`]
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

/** An HTTP answer's first line, its fields in alphabetical order, its body. */
export function answerLines(head: string, body: Buffer): string[] {
  const [first = '', ...fields] = head.trimEnd().split('\r\n')
  const status = refusals.exec(first)?.[1]
  if (status !== undefined) {
    const shown = fields.map((field) => fieldText(field, false)).filter((line) => line !== undefined)
    return [`HTTP ${status}`, ...shown.filter((line) => !wordFields.test(line)).toSorted()]
  }
  const isPage = fields.some((field) => /^content-type: text\/html/i.test(field))
  const shown = fields.map((field) => fieldText(field, isPage)).filter((line) => line !== undefined)
  const text = isPage && body.length > 0 ? 'a page for people' : JSON.stringify(body.toString('latin1'))
  return [first, ...shown.toSorted(), ...(body.length === 0 ? [] : [`body ${text}`])]
}

function fieldText(field: string, isOfPage: boolean): string | undefined {
  const [name = '', ...rest] = field.split(':')
  const lowered = name.toLowerCase()
  const value = rest.join(':').trim()
  if (maskedFields.has(lowered)) return undefined
  // The length of a page for people is no more compared than its text.
  return `${lowered}: ${isOfPage && lowered === 'content-length' ? 'some' : value}`
}

/** The line of a WebSocket's close frame. */
export function closeFrameLine(payload: Buffer): string {
  const code = payload.length >= 2 ? readU16(payload, 0) : 'without a code'
  // The words are for people; the code is what programs decide by.
  return `WebSocket close ${code}`
}

/**
 * What the relay's transcript has to be: derper's, with the known differences of the scene applied.
 *
 * @throws Error naming a difference that does not show where it is listed
 */
export function withDifferences(
  lines: readonly string[],
  of: { readonly scene: string; readonly version: string },
  differences: readonly Difference[],
): string[] {
  let expected = [...lines]
  for (const { title, shows } of differences) {
    for (const { scene, derper, derpfleet, versions } of shows) {
      if (scene !== of.scene || versions?.includes(of.version) === false) continue
      const at = indexOfRun(expected, derper)
      if (at < 0) {
        const missing = derper.map((line) => `\n  ${line}`).join('')
        throw new Error(`"${title}" is listed for this scene, but derper does not say:${missing}`)
      }
      expected = [...expected.slice(0, at), ...derpfleet, ...expected.slice(at + derper.length)]
    }
  }
  return expected
}

/** The lines as the rewritings for a version of derper make them; `used` is told those that changed something. */
export function rewritten(
  lines: readonly string[],
  rewritings: readonly Rewriting[],
  used: (rewriting: Rewriting) => void,
): string[] {
  return lines.map((line) => {
    let text = line
    for (const rewriting of rewritings) {
      const next = text.replace(rewriting.derper, rewriting.derpfleet)
      if (next !== text) used(rewriting)
      text = next
    }
    return text
  })
}

/** Received lines as a transcript has them. */
export function said(who: string, ...lines: readonly string[]): string[] {
  return lines.map((line) => `${who} < ${line}`)
}

/** In one scene one player hears something else. */
export function hears(
  scene: string,
  who: string,
  derper: readonly string[],
  derpfleet: readonly string[],
): Showing {
  return { scene, derper: said(who, ...derper), derpfleet: said(who, ...derpfleet) }
}

/** The same, in comparison with one version of derper alone. */
export function onlyWith(version: string, showing: Showing): Showing {
  return { ...showing, versions: [version] }
}

function indexOfRun(lines: readonly string[], run: readonly string[]): number {
  if (run.length === 0) return lines.length
  return lines.findIndex((_, at) => run.every((line, i) => lines[at + i] === line))
}
