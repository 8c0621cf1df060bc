// What bridges tell each other, in a packet that no VPN sends:
//
//   "DFB1" | key of the sender (32) | box of the two keys (nonce, tag, JSON)
//
// A packet that begins so and does not open is data of the VPN: the beginning alone decides nothing. Messages carry the
// sender's clock. One that is not newer than the last is passed over, and so is one whose clock differs by more than half a
// minute, so that what was recorded cannot be played again.

import type { BoxKey } from '#protocol/box.ts'
import { bytesEqual, concatBytes, startsWithAt } from '#protocol/bytes.ts'
import { BOX_TAG_BYTES, KEY_BYTES, NONCE_BYTES } from '#protocol/limits.ts'

/** What a bridge sees of WireGuard's peer, which is the other bridge's host. */
export interface SeenState {
  /** Bytes received and sent since its WireGuard started. */
  readonly rx: number
  readonly tx: number
  /** Where its WireGuard sends to: its bridge, or anywhere else. */
  readonly way: 'relay' | 'native' | 'none'
}

export type ControlMessage =
  /** A bridge has started: it knows no flows. */
  | { readonly kind: 'hello' }
  /** What follows belongs to this flow. `isReply`: a flow that the receiver has named. */
  | { readonly kind: 'flow'; readonly flow: number; readonly isReply: boolean }
  /** What do you see? */
  | { readonly kind: 'ask' }
  /** The answer; also sent by itself when nothing comes back from the other's host. */
  | { readonly kind: 'state'; readonly seen: SeenState | undefined }
  /** Where this bridge may be reached over UDP. `isReply`: the answer to such an offer. */
  | { readonly kind: 'offer'; readonly candidates: readonly string[]; readonly isReply: boolean }
  /** Over UDP: answer this. Padded to the size whose passing it tests. */
  | { readonly kind: 'ping'; readonly id: number }
  | { readonly kind: 'pong'; readonly id: number }
  /** Over the relay: for how long have you heard nothing of me over UDP? */
  | { readonly kind: 'ask-direct' }
  /** The answer; undefined: never anything. */
  | { readonly kind: 'direct'; readonly silentMs: number | undefined }

const MAGIC = Buffer.from('DFB1')
const SEALED_AT = MAGIC.length + KEY_BYTES
/** Longer than any message over the relay. */
const CONTROL_BYTES_MAX = 1_024
/** Of an offer that fits: addresses of this host, as the relay and as its interfaces have them. */
export const CANDIDATES_MAX = 16
const CANDIDATE_CHARS_MAX = 64
/** Over UDP, messages that were sent later may overtake others by so much. */
const OVERTAKEN_MS_MAX = 2_000
const OVERHEAD_BYTES = SEALED_AT + NONCE_BYTES + BOX_TAG_BYTES
const CLOCK_DIFFERENCE_MS_MAX = 30_000

export type Opened =
  | { readonly message: ControlMessage; readonly timeMs: number }
  /** It is a bridge's, and is passed over. */
  | { readonly ignored: 'clock' | 'old' | 'unknown' }

/** Whether a packet may be a message; only opening it tells. */
export function looksLikeControl(packet: Uint8Array, bytesMax = CONTROL_BYTES_MAX): boolean {
  return (
    packet.length > SEALED_AT + NONCE_BYTES && packet.length <= bytesMax && startsWithAt(packet, 0, MAGIC)
  )
}

/** The key of the bridge that claims to have sent it. */
export function claimedSender(packet: Uint8Array): Uint8Array {
  return packet.subarray(MAGIC.length, SEALED_AT)
}

/** How a channel differs from that over the relay, which keeps the order and carries short messages only. */
export interface ChannelOptions {
  readonly isUnordered?: boolean
  readonly bytesMax?: number
}

/** The two directions of one pair of bridges, over one way. */
export class ControlChannel {
  readonly #own: Uint8Array
  readonly #peer: Uint8Array
  readonly #box: BoxKey
  readonly #bytesMax: number
  readonly #received: SeenTimes
  #sentMs = 0

  constructor(own: Uint8Array, peer: Uint8Array, box: BoxKey, options: ChannelOptions = {}) {
    this.#own = own
    this.#peer = peer
    this.#box = box
    this.#bytesMax = options.bytesMax ?? CONTROL_BYTES_MAX
    this.#received = new SeenTimes(options.isUnordered === true ? OVERTAKEN_MS_MAX : 0)
  }

  /**
   * @param random 24 bytes
   * @param bytes of the packet at least
   */
  seal(message: ControlMessage, nowMs: number, random: Uint8Array, bytes = 0): Uint8Array {
    this.#sentMs = Math.max(this.#sentMs + 1, Math.floor(nowMs))
    // Space after JSON says nothing.
    const text = JSON.stringify({ ...message, time: this.#sentMs }).padEnd(bytes - OVERHEAD_BYTES)
    return concatBytes(MAGIC, this.#own, this.#box.seal(random, Buffer.from(text)))
  }

  /** Whether a packet claims to be the peer's message; no VPN's packets do that by chance. */
  isClaimed(packet: Uint8Array): boolean {
    return looksLikeControl(packet, this.#bytesMax) && bytesEqual(claimedSender(packet), this.#peer)
  }

  /** Undefined for a packet that is none of the peer's messages. */
  open(packet: Uint8Array, nowMs: number): Opened | undefined {
    if (!this.isClaimed(packet)) return undefined
    const plain = this.#box.open(packet.subarray(SEALED_AT))
    if (plain === undefined) return undefined
    const read = readMessage(Buffer.from(plain).toString('utf8'))
    if (read === undefined) return { ignored: 'unknown' }
    if (Math.abs(read.timeMs - nowMs) > CLOCK_DIFFERENCE_MS_MAX) return { ignored: 'clock' }
    return this.#received.isNew(read.timeMs) ? read : { ignored: 'old' }
  }
}

/** The times of messages that have come. Those within the last few seconds are kept, where some may overtake others. */
class SeenTimes {
  readonly #overtakenMsMax: number
  readonly #recent = new Set<number>()
  #newestMs = 0

  constructor(overtakenMsMax: number) {
    this.#overtakenMsMax = overtakenMsMax
  }

  isNew(timeMs: number): boolean {
    if (timeMs <= this.#newestMs - this.#overtakenMsMax || this.#recent.has(timeMs)) return false
    this.#newestMs = Math.max(this.#newestMs, timeMs)
    if (this.#overtakenMsMax === 0) return true
    this.#recent.add(timeMs)
    for (const ms of this.#recent) if (ms <= this.#newestMs - this.#overtakenMsMax) this.#recent.delete(ms)
    return true
  }
}

/** Undefined for what a newer bridge may say. */
function readMessage(text: string): { message: ControlMessage; timeMs: number } | undefined {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof json !== 'object' || json === null) return undefined
  const fields = json as Record<string, unknown>
  const message = messageOf(fields)
  return message !== undefined && isCount(fields['time']) ? { message, timeMs: fields['time'] } : undefined
}

function messageOf({ kind, ...fields }: Record<string, unknown>): ControlMessage | undefined {
  const { flow, seen, id, candidates, silentMs } = fields
  const isReply = fields['isReply'] === true
  if (kind === 'hello' || kind === 'ask' || kind === 'ask-direct') return { kind }
  if (kind === 'flow' && isCount(flow)) return { kind, flow, isReply }
  if (kind === 'state') return { kind, seen: readSeen(seen) }
  if ((kind === 'ping' || kind === 'pong') && isCount(id)) return { kind, id }
  if (kind === 'direct') return { kind, silentMs: isCount(silentMs) ? silentMs : undefined }
  if (kind === 'offer' && Array.isArray(candidates)) {
    return { kind, candidates: candidates.slice(0, CANDIDATES_MAX).filter(isShortText), isReply }
  }
  return undefined
}

function isShortText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= CANDIDATE_CHARS_MAX
}

function readSeen(value: unknown): SeenState | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { rx, tx, way } = value as Record<string, unknown>
  if (!isCount(rx) || !isCount(tx)) return undefined
  return { rx, tx, way: way === 'relay' || way === 'native' ? way : 'none' }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
