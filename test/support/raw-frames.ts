// Frames as bytes, for tests that send valid and invalid ones: DERP frames of any type and length, and WebSocket frames
// with any first byte, masked or not.

import { randomBytes } from 'node:crypto'
import { FrameType } from '#protocol/frame-type.ts'
import { HEADER_BYTES, NONCE_BYTES } from '#protocol/limits.ts'
import type { Actor } from './actor.ts'

export const Opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const
export type Opcode = (typeof Opcode)[keyof typeof Opcode]

/** The text of ClientInfo that tailscaled sends. */
export const tailscaleInfo = '{"version":2,"CanAckPings":true}'

/** A ClientInfo frame with any text. */
export function clientInfo(
  actor: Actor,
  text: string | Uint8Array = tailscaleInfo,
  nonce: Uint8Array = randomBytes(NONCE_BYTES),
): Buffer {
  return frameOf(FrameType.clientInfo, actor.key, actor.boxWithServer.seal(nonce, Buffer.from(text)))
}

/** A frame of any type. */
export function frameOf(type: number, ...payload: Uint8Array[]): Buffer {
  const body = Buffer.concat(payload)
  return Buffer.concat([headerOf(type, body.length), body])
}

/** The header of a frame without its payload. */
export function headerOf(type: number, payloadBytes: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES)
  header[0] = type
  header.writeUInt32BE(payloadBytes, 1)
  return header
}

/** A WebSocket frame of a client: masked and final by default. */
export function webSocketFrame(
  opcode: Opcode,
  payload: Uint8Array,
  options: { readonly firstByte?: number; readonly isUnmasked?: boolean } = {},
): Buffer {
  const header = Buffer.alloc(payload.length < 126 ? 2 : 4)
  header[0] = options.firstByte ?? 0x80 | opcode
  header[1] = (options.isUnmasked === true ? 0 : 0x80) | Math.min(payload.length, 126)
  if (payload.length >= 126) header.writeUInt16BE(payload.length, 2)
  if (options.isUnmasked === true) return Buffer.concat([header, payload])
  const mask = randomBytes(4)
  return Buffer.concat([header, mask, payload.map((byte, at) => byte ^ (mask[at % 4] ?? 0))])
}
