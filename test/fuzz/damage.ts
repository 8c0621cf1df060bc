// A TLS client that says the same thing each time, and the damage that a line does to what it sends: for the targets that put
// parts of the relay behind such a line. An input has three bytes for each chunk of the client.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { TLSSocket } from 'node:tls'

/** What the client sends, and in which parts. */
export const SENT = Buffer.from(Array.from({ length: 40_000 }, (_, at) => (at * 7) & 0xff))
const PARTS = [100, 5, 17_000, 1, 22_894]

/** Sends all of it, and ends. */
export async function talk(client: TLSSocket): Promise<void> {
  let at = 0
  for (const byteCount of PARTS) {
    if (client.destroyed) return
    client.write(SENT.subarray(at, at + byteCount))
    at += byteCount
    await nextTurn()
  }
  client.end()
}

/** What may happen to a chunk. The kind is the first byte of the input's three, `a` and `b` are the others. */
const DAMAGE: readonly ((chunk: Buffer, a: number, b: number) => Buffer)[] = [
  (chunk) => chunk,
  (chunk) => chunk,
  (chunk) => chunk,
  (chunk, a, b) => {
    const changed = Buffer.from(chunk)
    const at = placeIn(chunk, a)
    changed[at] = (changed[at] ?? 0) ^ (b || 1)
    return changed
  },
  (chunk, a, b) =>
    Buffer.concat([chunk.subarray(0, placeIn(chunk, a)), chunk.subarray(placeIn(chunk, a) + b)]),
  (chunk, a, b) => {
    const at = placeIn(chunk, a)
    return Buffer.concat([chunk.subarray(0, at), Buffer.alloc(b * 80, a), chunk.subarray(at)])
  },
  (chunk) => Buffer.concat([chunk, chunk]),
  // The header of a record in front: of any type, version and length.
  (chunk, a, b) => Buffer.concat([Buffer.of(20 + (a % 5), 3, 3, b, a), chunk]),
]

/** The first of these change nothing. */
const UNDAMAGED = 3

/** The first bytes, which are headers, are hit most. */
function placeIn(chunk: Buffer, a: number): number {
  return a < 128 ? a % Math.max(1, chunk.length) : Math.floor(((a - 128) / 128) * chunk.length)
}

/** The line ends after such a chunk. */
const END = 255

export const DAMAGE_CORPUS: readonly Buffer[] = [
  Buffer.alloc(0),
  Buffer.from('030500', 'hex'),
  Buffer.from('000000030900', 'hex'),
  Buffer.from('000000000000000000040310', 'hex'),
  Buffer.from('000000000000070080', 'hex'),
  Buffer.from('000000000000000000060000ff0000', 'hex'),
]

/** A line to which one input is done. */
export class Damage {
  readonly #script: Buffer
  #at = 0

  constructor(script: Buffer) {
    this.#script = script
  }

  /** What becomes of the client's next chunk. */
  next(chunk: Buffer): { readonly bytes: Buffer; readonly isDamaged: boolean; readonly isEnd: boolean } {
    const [kind = 0, a = 0, b = 0] = this.#script.subarray(this.#at, this.#at + 3)
    this.#at += 3
    const isEnd = kind === END
    const bytes = (DAMAGE[kind % DAMAGE.length] as (typeof DAMAGE)[number])(chunk, a, b)
    return { bytes, isDamaged: isEnd || kind % DAMAGE.length >= UNDAMAGED, isEnd }
  }
}
