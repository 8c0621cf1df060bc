// Arbitraries for the codec's property tests: keys, packets, streams of frames, splits of a stream, and damaged bytes.
// Large arrays are generated from a small seed, because fast-check would spend its time shrinking them.

import * as fc from 'fast-check'
import { FrameAction } from '#protocol/frame-reader.ts'
import type { Treatment } from './recording-sink.ts'

/** `length` pseudo-random bytes that depend only on the seed. */
export function bytesFrom(seed: number, length: number): Buffer {
  const out = Buffer.allocUnsafe(length)
  let state = seed | 1
  for (let i = 0; i < length; i++) {
    state = Math.imul(state, 0x2c1b3c6d) + 0x3c6ef35f
    out[i] = state >>> 24
  }
  return out
}

export const someKey = exactly(32).filter((key) => key.some((byte) => byte !== 0))

/** Packets of all sizes up to 64 KiB, mostly small. */
export const somePacket = bytesOfLength(
  { weight: 8, arbitrary: fc.nat(200) },
  { weight: 3, arbitrary: fc.nat(4_000) },
  { weight: 1, arbitrary: fc.constantFrom(65_535, 65_536) },
)

export interface StreamFrame extends Treatment {
  readonly type: number
  readonly payload: Buffer
}

const someFrame: fc.Arbitrary<StreamFrame> = fc.record({
  type: fc.nat(255),
  payload: bytesOfLength(
    { weight: 2, arbitrary: fc.constant(0) },
    { weight: 12, arbitrary: fc.nat(80) },
    { weight: 4, arbitrary: fc.nat(9_000) },
    { weight: 1, arbitrary: fc.integer({ min: 30_000, max: 140_000 }) },
  ),
  action: fc.oneof(
    { weight: 12, arbitrary: fc.constant(FrameAction.accept) },
    { weight: 4, arbitrary: fc.constant(FrameAction.skip) },
    { weight: 1, arbitrary: fc.constant(FrameAction.reject) },
  ),
  continues: fc.oneof(
    { weight: 4, arbitrary: fc.constant(true) },
    { weight: 1, arbitrary: fc.constant(false) },
  ),
})

export const someFrames = fc.array(someFrame, { minLength: 1, maxLength: 12 })

/** The bytes of all frames in order. */
export function streamOf(frames: readonly Pick<StreamFrame, 'type' | 'payload'>[]): Buffer {
  return Buffer.concat(
    frames.flatMap(({ type, payload }) => {
      const header = Buffer.alloc(5)
      header[0] = type
      header.writeUInt32BE(payload.length, 1)
      return [header, payload]
    }),
  )
}

/** Split positions: shares of the stream's length, or near the boundaries where a reader changes state. */
export const someCuts = fc.array(
  fc.oneof(
    fc.double({ min: 0, max: 1, noNaN: true }),
    fc.record({ frameAt: fc.nat(11), offset: fc.integer({ min: -1, max: 7 }) }),
  ),
  { maxLength: 12 },
)
export type Cut = number | { readonly frameAt: number; readonly offset: number }

/** The stream in pieces; `frameStarts` are the positions of its frames. */
export function cutStream(stream: Buffer, cuts: readonly Cut[], frameStarts: readonly number[]): Buffer[] {
  const places = cuts.map((cut) =>
    typeof cut === 'number' ? Math.floor(cut * stream.length) : (frameStarts[cut.frameAt] ?? 0) + cut.offset,
  )
  const inside = places.filter((at) => at > 0 && at < stream.length)
  const ends = [...new Set([...inside, stream.length])].sort((a, b) => a - b)
  return ends.map((end, i) => stream.subarray(i === 0 ? 0 : ends[i - 1], end))
}

/** The stream byte by byte. */
export function singleBytes(stream: Buffer): Buffer[] {
  return Array.from(stream, (_, at) => stream.subarray(at, at + 1))
}

type Damage =
  | { readonly kind: 'flip'; readonly at: number; readonly bit: number }
  | { readonly kind: 'cut'; readonly at: number; readonly length: number }
  | { readonly kind: 'insert' | 'overwrite'; readonly at: number; readonly bytes: Uint8Array }

const place = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
const someDamage: fc.Arbitrary<Damage> = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: place, bit: fc.nat(7) }),
  fc.record({ kind: fc.constant('cut' as const), at: place, length: fc.nat(40) }),
  fc.record({
    kind: fc.constantFrom('insert' as const, 'overwrite' as const),
    at: place,
    bytes: fc.uint8Array({ maxLength: 12 }),
  }),
)

/** One of the samples with one to six damages; sometimes arbitrary bytes. */
export function damaged(...samples: readonly Uint8Array[]): fc.Arbitrary<Buffer> {
  return fc.oneof(
    {
      weight: 5,
      arbitrary: fc
        .tuple(fc.constantFrom(...samples), fc.array(someDamage, { minLength: 1, maxLength: 6 }))
        .map(([sample, damages]) => damages.reduce<Buffer>(applyDamage, Buffer.from(sample))),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)) },
  )
}

function applyDamage(bytes: Buffer, damage: Damage): Buffer {
  const at = Math.floor(damage.at * bytes.length)
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)]
  switch (damage.kind) {
    case 'flip': {
      if (bytes.length === 0) return bytes
      const flipped = Buffer.from(bytes)
      flipped.writeUInt8(bytes.readUInt8(at) ^ (1 << damage.bit), at)
      return flipped
    }
    case 'cut':
      return Buffer.concat([before, after.subarray(damage.length)])
    case 'insert':
      return Buffer.concat([before, damage.bytes, after])
    case 'overwrite':
      return Buffer.concat([before, damage.bytes, after.subarray(damage.bytes.length)])
  }
}

/** Exactly `length` arbitrary bytes. */
export function exactly(length: number): fc.Arbitrary<Uint8Array> {
  return fc.uint8Array({ minLength: length, maxLength: length })
}

function bytesOfLength(...lengths: fc.WeightedArbitrary<number>[]): fc.Arbitrary<Buffer> {
  return fc.tuple(fc.integer(), fc.oneof(...lengths)).map(([seed, length]) => bytesFrom(seed, length))
}
