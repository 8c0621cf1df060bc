// What bridges tell each other, in a packet that no VPN sends:
//
//   "DFB1" | key of the sender (32) | box of the two keys (nonce, tag, JSON)
//
// A packet that begins so and does not open is data of the VPN: the beginning alone decides nothing. Messages carry the
// sender's clock. One that is not newer than the last is passed over, and so is one whose clock differs by more than half a
// minute, so that what was recorded cannot be played again.

import type { BoxKey } from '#protocol/box.ts'
import { bytesEqual, concatBytes, startsWithAt } from '#protocol/bytes.ts'
import { KEY_BYTES, NONCE_BYTES } from '#protocol/limits.ts'

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

const MAGIC = Buffer.from('DFB1')
const SEALED_AT = MAGIC.length + KEY_BYTES
/** Longer than any message. */
const CONTROL_BYTES_MAX = 1_024
const CLOCK_DIFFERENCE_MS_MAX = 30_000

export type Opened =
  | { readonly message: ControlMessage; readonly timeMs: number }
  /** It is a bridge's, and is passed over. */
  | { readonly ignored: 'clock' | 'old' | 'unknown' }

/** Whether a packet may be a message; only opening it tells. */
export function looksLikeControl(packet: Uint8Array): boolean {
  return (
    packet.length > SEALED_AT + NONCE_BYTES &&
    packet.length <= CONTROL_BYTES_MAX &&
    startsWithAt(packet, 0, MAGIC)
  )
}

/** The two directions of one pair of bridges. */
export class ControlChannel {
  readonly #own: Uint8Array
  readonly #peer: Uint8Array
  readonly #box: BoxKey
  #sentMs = 0
  #receivedMs = 0

  constructor(own: Uint8Array, peer: Uint8Array, box: BoxKey) {
    this.#own = own
    this.#peer = peer
    this.#box = box
  }

  /** @param random 24 bytes */
  seal(message: ControlMessage, nowMs: number, random: Uint8Array): Uint8Array {
    this.#sentMs = Math.max(this.#sentMs + 1, Math.floor(nowMs))
    const plain = Buffer.from(JSON.stringify({ ...message, time: this.#sentMs }))
    return concatBytes(MAGIC, this.#own, this.#box.seal(random, plain))
  }

  /** Whether a packet claims to be the peer's message; no VPN's packets do that by chance. */
  isClaimed(packet: Uint8Array): boolean {
    return looksLikeControl(packet) && bytesEqual(packet.subarray(MAGIC.length, SEALED_AT), this.#peer)
  }

  /** Undefined for a packet that is none of the peer's messages. */
  open(packet: Uint8Array, nowMs: number): Opened | undefined {
    if (!this.isClaimed(packet)) return undefined
    const plain = this.#box.open(packet.subarray(SEALED_AT))
    if (plain === undefined) return undefined
    const read = readMessage(Buffer.from(plain).toString('utf8'))
    if (read === undefined) return { ignored: 'unknown' }
    if (Math.abs(read.timeMs - nowMs) > CLOCK_DIFFERENCE_MS_MAX) return { ignored: 'clock' }
    if (read.timeMs <= this.#receivedMs) return { ignored: 'old' }
    this.#receivedMs = read.timeMs
    return read
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
  const { kind, time, flow, isReply, seen } = json as Record<string, unknown>
  if (!isCount(time)) return undefined
  if (kind === 'hello' || kind === 'ask') return { message: { kind }, timeMs: time }
  if (kind === 'flow' && isCount(flow)) {
    return { message: { kind, flow, isReply: isReply === true }, timeMs: time }
  }
  if (kind === 'state') return { message: { kind, seen: readSeen(seen) }, timeMs: time }
  return undefined
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
