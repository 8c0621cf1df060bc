// Mutates inputs, by accidents and by attacks that parsers meet. Knows bytes, big-endian lengths, numbers in text and a
// target's tokens; no particular format.

import type { Random } from './random.ts'

/** Boundary values of lengths and counters. */
const EDGES = [0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 33, 63, 64, 65, 100, 125, 126, 127, 128, 255, 256, 1_000]
const WIDE_EDGES = [
  ...EDGES,
  1_024,
  16_384,
  32_767,
  32_768,
  65_535,
  65_536,
  65_568,
  65_569,
  262_144,
  262_145,
  1_048_576,
  0x7fffffff,
  0x80000000,
  0xffffffff,
]
const NUMBERS_IN_TEXT = [
  '0',
  '-1',
  '1',
  '65535',
  '65536',
  '4294967296',
  '1e999',
  '-0',
  '0x10',
  '9'.repeat(30),
  'NaN',
]
/** Characters with a special meaning in text formats. */
const ODD_TEXT = [
  '\0',
  '\r\n',
  '\n',
  '\r',
  ' ',
  '\t',
  '"',
  "'",
  '\\',
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '#',
  '&a',
  '*a',
]
const ODD_WORDS = [
  'null',
  'true',
  '__proto__',
  'constructor',
  '\u00e9',
  '\ud83d\ude00',
  '\ufeff',
  '%00',
  '../',
  '::',
  '.',
]
/** Limit of an input's length; longer ones find nothing new. */
export const INPUT_BYTES_MAX = 70_000

export interface Material {
  readonly corpus: readonly Buffer[]
  readonly tokens: readonly string[]
}

/** A mutation of an input of the corpus. */
export function mutated(material: Material, random: Random): Buffer {
  let bytes: Buffer = Buffer.from(random.pick(material.corpus))
  const steps = 1 + random.below(random.chance(4) ? 12 : 4)
  for (let step = 0; step < steps; step++) bytes = mutatedOnce(bytes, material, random)
  return bytes.subarray(0, INPUT_BYTES_MAX)
}

type Mutator = (bytes: Buffer, random: Random, material: Material) => Buffer

const MUTATORS: readonly Mutator[] = [
  flipBit,
  setByte,
  setLength,
  cutOut,
  truncate,
  insertNoise,
  insertToken,
  insertToken,
  repeat,
  move,
  splice,
  changeNumber,
  changeCase,
]

function mutatedOnce(bytes: Buffer, material: Material, random: Random): Buffer {
  return random.pick(MUTATORS)(bytes, random, material)
}

function flipBit(bytes: Buffer, random: Random): Buffer {
  if (bytes.length === 0) return bytes
  const at = random.below(bytes.length)
  bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8))
  return bytes
}

function setByte(bytes: Buffer, random: Random): Buffer {
  if (bytes.length === 0) return bytes
  bytes[random.below(bytes.length)] = random.chance(2) ? random.pick(EDGES) : random.below(256)
  return bytes
}

/** Overwrites two, four or eight bytes with a big-endian number that may be a length. */
function setLength(bytes: Buffer, random: Random): Buffer {
  const width = random.pick([2, 4, 4, 8])
  if (bytes.length < width) return bytes
  const at = random.below(bytes.length - width + 1)
  const value = random.chance(3) ? bytes.length - at - width + random.below(5) - 2 : random.pick(WIDE_EDGES)
  for (let i = 0; i < width; i++)
    bytes[at + width - 1 - i] = Math.floor(Math.max(0, value) / 2 ** (8 * i)) & 0xff
  return bytes
}

function cutOut(bytes: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length)
  return Buffer.concat([
    bytes.subarray(0, at),
    bytes.subarray(at + 1 + random.below(random.pick([4, 40, 400]))),
  ])
}

function truncate(bytes: Buffer, random: Random): Buffer {
  return Buffer.from(bytes.subarray(0, random.below(bytes.length + 1)))
}

function inserted(bytes: Buffer, addition: Uint8Array, random: Random): Buffer {
  const at = random.below(bytes.length + 1)
  return Buffer.concat([bytes.subarray(0, at), addition, bytes.subarray(at)])
}

function insertNoise(bytes: Buffer, random: Random): Buffer {
  return inserted(bytes, random.bytes(1 + random.below(random.pick([4, 16, 64]))), random)
}

function insertToken(bytes: Buffer, random: Random, { tokens }: Material): Buffer {
  const words = random.pick([tokens.length > 0 ? tokens : ODD_TEXT, ODD_TEXT, ODD_WORDS, NUMBERS_IN_TEXT])
  return inserted(bytes, Buffer.from(random.pick(words)), random)
}

/** Repeats a part, once or very often. */
function repeat(bytes: Buffer, random: Random): Buffer {
  const at = random.below(bytes.length)
  const part = bytes.subarray(at, at + 1 + random.below(64))
  const times = random.chance(8) ? random.below(2_000) : 1 + random.below(8)
  return Buffer.concat([
    bytes.subarray(0, at),
    ...Array.from({ length: times }, () => part),
    bytes.subarray(at),
  ])
}

function move(bytes: Buffer, random: Random): Buffer {
  const [from, to] = [random.below(bytes.length), random.below(bytes.length)]
  bytes.copyWithin(to, from, from + 1 + random.below(32))
  return bytes
}

function splice(bytes: Buffer, random: Random, { corpus }: Material): Buffer {
  const other = random.pick(corpus)
  return Buffer.concat([
    bytes.subarray(0, random.below(bytes.length + 1)),
    other.subarray(random.below(other.length + 1)),
  ])
}

/** Replaces a number in the text. */
function changeNumber(bytes: Buffer, random: Random): Buffer {
  const text = bytes.toString('latin1')
  const numbers = [...text.slice(0, 4_096).matchAll(/\d+/g)]
  if (numbers.length === 0) return bytes
  const [number] = random.pick(numbers)
  return Buffer.from(text.replace(number, random.pick(NUMBERS_IN_TEXT)), 'latin1')
}

function changeCase(bytes: Buffer, random: Random): Buffer {
  for (let at = random.below(bytes.length), i = 0; i < 16 && at + i < bytes.length; i++) {
    const byte = bytes[at + i] ?? 0
    if (/[a-z]/i.test(String.fromCharCode(byte)) && byte < 0x80) bytes[at + i] = byte ^ 0x20
  }
  return bytes
}
