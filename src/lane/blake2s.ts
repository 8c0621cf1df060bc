// BLAKE2s (RFC 7693), with and without a key. Node's crypto has neither the keyed form nor shorter digests, which WireGuard's
// MACs are; and a MAC whose key has been hashed once takes half the time, which counts when one is tried for each link.

import { readWord } from '#protocol/bytes.ts'

const BLOCK_BYTES = 64
export const HASH_BYTES = 32
export const MAC_BYTES = 16

const IV = new Int32Array([
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
])
/** The order in which each of the ten rounds takes the words of a block. */
const SIGMA = new Uint8Array(
  [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
  ].flat(),
)

/** The state after the last whole block that is not the last one. */
type State = Int32Array

const work = new Int32Array(16)
const words = new Int32Array(16)
const block = new Uint8Array(BLOCK_BYTES)

/** 32 bytes. */
export function blake2s(...parts: readonly Uint8Array[]): Uint8Array {
  return digest(startState(HASH_BYTES, 0), 0, parts, HASH_BYTES)
}

/** HMAC (RFC 2104) with BLAKE2s; 32 bytes. @param key at most 64 bytes */
export function hmacBlake2s(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const inner = new Uint8Array(BLOCK_BYTES).fill(0x36)
  const outer = new Uint8Array(BLOCK_BYTES).fill(0x5c)
  for (const [i, byte] of key.entries()) {
    inner[i] = byte ^ 0x36
    outer[i] = byte ^ 0x5c
  }
  return blake2s(outer, blake2s(inner, ...parts))
}

/** BLAKE2s with one key and digests of sixteen bytes, for many messages. */
export class Blake2sMac {
  readonly #keyed: State

  /** @param key 1 to 32 bytes */
  constructor(key: Uint8Array) {
    this.#keyed = startState(MAC_BYTES, key.length)
    block.fill(0)
    block.set(key)
    compress(this.#keyed, block, 0, BLOCK_BYTES)
  }

  /** Sixteen bytes. The message has at least one byte. */
  of(...parts: readonly Uint8Array[]): Uint8Array {
    return digest(this.#keyed.slice(), BLOCK_BYTES, parts, MAC_BYTES)
  }

  /** Whether bytes[end, end + 16) is the MAC of bytes[0, end). Takes the same time wherever they differ. */
  matches(bytes: Uint8Array, end: number): boolean {
    state.set(this.#keyed)
    let at = 0
    for (; end - at > BLOCK_BYTES; at += BLOCK_BYTES)
      compress(state, bytes, at, BLOCK_BYTES + at + BLOCK_BYTES)
    block.fill(0)
    for (let i = at; i < end; i++) block[i - at] = bytes[i] as number
    compress(state, block, 0, -(BLOCK_BYTES + end))
    let difference = 0
    for (let i = 0; i < MAC_BYTES; i++) {
      difference |= ((state[i >> 2] as number) >>> (8 * (i & 3))) ^ (bytes[end + i] as number)
    }
    return (difference & 0xff) === 0
  }
}

/** Of `matches`, which is asked for each link and each stranger's datagram. */
const state = new Int32Array(8)

function startState(digestBytes: number, keyBytes: number): State {
  const start = IV.slice()
  start[0] = (start[0] as number) ^ 0x0101_0000 ^ (keyBytes << 8) ^ digestBytes
  return start
}

/** Goes on from a state into which `hashed` bytes have gone. */
function digest(from: State, hashed: number, parts: readonly Uint8Array[], digestBytes: number): Uint8Array {
  const message = parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts)
  let at = 0
  for (; message.length - at > BLOCK_BYTES; at += BLOCK_BYTES)
    compress(from, message, at, hashed + at + BLOCK_BYTES)
  block.fill(0)
  block.set(message.subarray(at))
  compress(from, block, 0, -(hashed + message.length))
  const out = new Uint8Array(digestBytes)
  for (let i = 0; i < digestBytes; i++) out[i] = (from[i >> 2] as number) >>> (8 * (i & 3))
  return out
}

/**
 * Takes the block at bytes[at, at + 64) into `h`.
 *
 * @param byteCount the bytes so far, this block included; negative, or minus zero, if it is the last block
 */
function compress(h: State, bytes: Uint8Array, at: number, byteCount: number): void {
  const isLast = byteCount < 0 || Object.is(byteCount, -0)
  for (let i = 0, from = at; i < 16; i++, from += 4) words[i] = readWord(bytes, from)
  for (let i = 0; i < 8; i++) {
    work[i] = h[i] as number
    work[i + 8] = IV[i] as number
  }
  work[12] = (work[12] as number) ^ (isLast ? -byteCount : byteCount)
  if (isLast) work[14] = ~(work[14] as number)
  for (let step = 0; step < SIGMA.length; step += 2) mix(step)
  for (let i = 0; i < 8; i++) h[i] = (h[i] as number) ^ (work[i] as number) ^ (work[i + 8] as number)
}

/** Mixes four words of the state with two of the block: columns in the first half of a round, diagonals in the second. */
function mix(step: number): void {
  const a = (step >> 1) & 3
  const turn = (step >> 3) & 1
  const b = 4 + ((a + turn) & 3)
  const c = 8 + ((a + 2 * turn) & 3)
  const d = 12 + ((a + 3 * turn) & 3)
  let wa = work[a] as number
  let wb = work[b] as number
  let wc = work[c] as number
  let wd = work[d] as number
  wa = (wa + wb + (words[SIGMA[step] as number] as number)) | 0
  wd = rotate(wd ^ wa, 16)
  wc = (wc + wd) | 0
  wb = rotate(wb ^ wc, 12)
  wa = (wa + wb + (words[SIGMA[step + 1] as number] as number)) | 0
  wd = rotate(wd ^ wa, 8)
  wc = (wc + wd) | 0
  wb = rotate(wb ^ wc, 7)
  work[a] = wa
  work[b] = wb
  work[c] = wc
  work[d] = wd
}

function rotate(word: number, by: number): number {
  return (word >>> by) | (word << (32 - by))
}
