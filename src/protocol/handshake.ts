// The login of a DERP client: writes and reads ServerKey, ClientInfo and ServerInfo. The session decides whether and when a
// client may log in. Randomness (nonces) is passed in.

import type { BoxKey } from './box.ts'
import { concatBytes, copyOf, isZero, startsWithAt, writeU32 } from './bytes.ts'
import { FrameType } from './frame-type.ts'
import {
  APP_NAME_BYTES_MAX,
  CLIENT_INFO_BYTES_MIN,
  HEADER_BYTES,
  KEY_BYTES,
  NONCE_BYTES,
  PROTOCOL_VERSION,
  SEND_PACKET_BYTES_MAX,
} from './limits.ts'
import { parseUntypedKey } from './node-key.ts'
import type { RateLimit } from './relay-limits.ts'
import { ProtocolError } from './protocol-error.ts'

/** "DERP" and U+1F511, the key emoji. */
const SERVER_KEY_MAGIC = new Uint8Array([0x44, 0x45, 0x52, 0x50, 0xf0, 0x9f, 0x94, 0x91])

/** What a client tells about itself. Every field has a default, so `{}` is complete. */
export interface ClientInfo {
  /** The mesh key that the client presents; undefined if it sends none or zero. */
  readonly meshKey: Uint8Array | undefined
  /** The client's protocol version; never checked. */
  readonly version: number
  readonly canAckPings: boolean
  readonly isProber: boolean
  /** 0–32 printable ASCII characters for statistics. */
  readonly appName: string
  /** For siblings of another region: the watcher wants presence of home keys only. Unknown to derper. */
  readonly wantsHomesOnly: boolean
  /** For siblings: asks for `instance` in ServerInfo, and for the reason of a refusal. Unknown to derper. */
  readonly wantsInstance: boolean
}

/** What a server tells an admitted client. */
export interface ServerInfo {
  readonly version: number
  /** A limit that the client applies to its packets; 0 for none. */
  readonly tokenBucketBytesPerSecond: number
  readonly tokenBucketBytesBurst: number
  /** Identifies the run of the relay, for siblings that ask; undefined from derper. */
  readonly instance: string | undefined
}

/** A client drops what is larger than the burst that it is told: with this, no packet is. */
export const TOLD_BURST_BYTES_MIN = HEADER_BYTES + SEND_PACKET_BYTES_MAX
/** An instance is sixteen bytes in hex; the limit leaves room for other forms. */
const INSTANCE_CHARS_MAX = 64

/** A frame's header and payload in one array. */
export function frame(type: FrameType, ...payload: Uint8Array[]): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES)
  header[0] = type
  writeU32(
    header,
    1,
    payload.reduce((sum, part) => sum + part.length, 0),
  )
  return concatBytes(header, ...payload)
}

/** The ServerKey frame, 45 bytes. */
export function serverKeyFrame(publicKey: Uint8Array): Uint8Array {
  return frame(FrameType.serverKey, SERVER_KEY_MAGIC, publicKey)
}

/** The server's key in a ServerKey payload, of which extra bytes are ignored; undefined if it is invalid. */
export function readServerKey(payload: Uint8Array): Uint8Array | undefined {
  if (payload.length < SERVER_KEY_MAGIC.length + KEY_BYTES) return undefined
  if (!startsWithAt(payload, 0, SERVER_KEY_MAGIC)) return undefined
  return copyOf(payload, SERVER_KEY_MAGIC.length, SERVER_KEY_MAGIC.length + KEY_BYTES)
}

/** The ClientInfo frame; `nonce` is 24 new random bytes. The order of fields is that of Tailscale's client. */
export function clientInfoFrame(
  publicKey: Uint8Array,
  info: Partial<ClientInfo>,
  box: BoxKey,
  nonce: Uint8Array,
): Uint8Array {
  const json = JSON.stringify({
    meshKey: info.meshKey === undefined ? undefined : Buffer.from(info.meshKey).toString('hex'),
    version: info.version ?? PROTOCOL_VERSION,
    CanAckPings: info.canAckPings ?? false,
    IsProber: info.isProber === true ? true : undefined,
    AppName: info.appName === undefined || info.appName === '' ? undefined : info.appName,
    WatchHomesOnly: info.wantsHomesOnly === true ? true : undefined,
    TellInstance: info.wantsInstance === true ? true : undefined,
  })
  return frame(FrameType.clientInfo, publicKey, box.seal(nonce, Buffer.from(json)))
}

/** A copy of the client's key in a ClientInfo payload; an error if the payload is invalid. */
export function readClientKey(payload: Uint8Array): Uint8Array | ProtocolError {
  if (payload.length < CLIENT_INFO_BYTES_MIN) return ProtocolError.clientInfoLength
  if (isZero(payload, 0, KEY_BYTES)) return ProtocolError.keyZero
  return copyOf(payload, 0, KEY_BYTES)
}

/** Opens the box of a ClientInfo payload with the key agreed with its sender. */
export function openClientInfo(payload: Uint8Array, box: BoxKey): ClientInfo | ProtocolError {
  const plain = box.open(payload.subarray(KEY_BYTES))
  if (plain === undefined) return ProtocolError.boxRefused
  return parseClientInfo(Buffer.from(plain).toString('utf8'))
}

/** Reads ClientInfo's JSON as Go's decoder does: names in any case, unknown names ignored, null as {}. */
export function parseClientInfo(text: string): ClientInfo | ProtocolError {
  const fields = parseObject(text)
  if (fields === undefined) return ProtocolError.clientInfoJson
  const version = fields.get('version') ?? 0
  const canAckPings = fields.get('canackpings') ?? false
  const isProber = fields.get('isprober') ?? false
  const appName = fields.get('appname') ?? ''
  const wantsHomesOnly = fields.get('watchhomesonly') === true
  const wantsInstance = fields.get('tellinstance') === true
  if (typeof version !== 'number' || !Number.isInteger(version)) return ProtocolError.clientInfoJson
  if (typeof canAckPings !== 'boolean' || typeof isProber !== 'boolean') return ProtocolError.clientInfoJson
  if (typeof appName !== 'string') return ProtocolError.clientInfoJson
  if (!isAppName(appName)) return ProtocolError.appNameInvalid
  let meshKey: Uint8Array | undefined
  if (fields.has('meshkey')) {
    const meshKeyText = fields.get('meshkey')
    meshKey = typeof meshKeyText === 'string' ? parseUntypedKey(meshKeyText) : undefined
    if (meshKey === undefined) return ProtocolError.meshKeySyntax
    if (isZero(meshKey)) meshKey = undefined
  }
  return { meshKey, version, canAckPings, isProber, appName, wantsHomesOnly, wantsInstance }
}

/** Whether the text is a valid application name: at most 32 bytes, each 0x20–0x7E. */
export function isAppName(text: string): boolean {
  return text.length <= APP_NAME_BYTES_MAX && /^[\x20-\x7e]*$/.test(text)
}

/** The ServerInfo frame that Tailscale's clients expect; `nonce` is 24 new random bytes. */
export function serverInfoFrame(
  box: BoxKey,
  nonce: Uint8Array,
  { instance, rate }: { readonly instance?: string | undefined; readonly rate?: RateLimit | undefined } = {},
): Uint8Array {
  const told = rate && {
    TokenBucketBytesPerSecond: Math.max(1, Math.floor(rate.bytesPerSecond)),
    TokenBucketBytesBurst: Math.max(rate.burstBytes, TOLD_BURST_BYTES_MIN),
  }
  const json = JSON.stringify({ version: PROTOCOL_VERSION, ...told, instance })
  return frame(FrameType.serverInfo, box.seal(nonce, Buffer.from(json)))
}

/** Opens a ServerInfo payload; undefined if the box does not open or its JSON is not what it should be. */
export function openServerInfo(payload: Uint8Array, box: BoxKey): ServerInfo | undefined {
  if (payload.length < NONCE_BYTES) return undefined
  const plain = box.open(payload)
  const fields = plain === undefined ? undefined : parseObject(Buffer.from(plain).toString('utf8'))
  if (fields === undefined) return undefined
  const [version, rate, burst] = ['version', 'tokenbucketbytespersecond', 'tokenbucketbytesburst'].map(
    (name) => fields.get(name) ?? 0,
  )
  if (typeof version !== 'number' || typeof rate !== 'number' || typeof burst !== 'number') return undefined
  const instance = fields.get('instance')
  return {
    version,
    tokenBucketBytesPerSecond: rate,
    tokenBucketBytesBurst: burst,
    instance: typeof instance === 'string' && instance.length <= INSTANCE_CHARS_MAX ? instance : undefined,
  }
}

/** A JSON object's fields by lower-cased name. The last of equal names counts; null is read as empty. */
function parseObject(text: string): Map<string, unknown> | undefined {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return undefined
  }
  if (json === null) return new Map()
  if (typeof json !== 'object' || Array.isArray(json)) return undefined
  return new Map(Object.entries(json).map(([name, value]) => [name.toLowerCase(), value]))
}
