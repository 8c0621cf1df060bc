// Key pairs and the text forms of keys: the vectors, and any 32 bytes.

import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import {
  keyPairFrom,
  parsePrivateKey,
  parsePublicKey,
  parseUntypedKey,
  privateKeyText,
  publicKeyText,
  shortKey,
} from '#protocol/node-key.ts'
import { sha256 } from '../vectors/hex.ts'
import { keyVectors, meshKey, server, serverPrivateText, serverPublicText } from '../vectors/keys.ts'
import { exactly } from './arbitraries.ts'

it.each(Object.entries(keyVectors))('derives the key pair of %s from its label', (_name, vector) => {
  const pair = keyPairFrom(sha256(vector.label))
  expect(toHex(pair.privateKey)).toBe(toHex(vector.privateKey))
  expect(toHex(pair.publicKey)).toBe(toHex(vector.publicKey))
})

it('clamps a copy and leaves its argument unchanged', () => {
  const raw = new Uint8Array(32).fill(0xff)
  expect(toHex(keyPairFrom(raw).privateKey)).toBe(`f8${'ff'.repeat(30)}7f`)
  expect(raw.every((byte) => byte === 0xff)).toBe(true)
})

it.each(Object.entries(keyVectors))(
  'writes the short form of the key of %s',
  (_name, { publicKey, short }) => {
    expect(shortKey(publicKey)).toBe(short)
  },
)

it('has no short form for the all-zero key', () => {
  expect(shortKey(new Uint8Array(32))).toBe('')
})

it('writes typed keys as in the vectors', () => {
  expect(publicKeyText(server.publicKey)).toBe(serverPublicText)
  expect(privateKeyText(server.privateKey)).toBe(serverPrivateText)
})

it('reads every key that it writes, with digits in either case', () => {
  fc.assert(
    fc.property(exactly(32), (key) => {
      const hex = toHex(key)
      expect(parsePublicKey(publicKeyText(key))).toEqual(key)
      expect(parsePrivateKey(privateKeyText(key))).toEqual(key)
      expect(parseUntypedKey(hex)).toEqual(key)
      expect(parsePublicKey(`nodekey:${hex.toUpperCase()}`)).toEqual(key)
      expect(parseUntypedKey(hex.toUpperCase())).toEqual(key)
    }),
  )
})

const digits = toHex(meshKey)
it.each([
  ['nothing', ''],
  ['a digit too few', digits.slice(1)],
  ['a digit too many', `${digits}0`],
  ['a digit that is none', `${digits.slice(0, 63)}g`],
  ['white space', ` ${digits.slice(1)}`],
  ['a newline at the end', `${digits.slice(1)}\n`],
  ['wide digits', '０'.repeat(64)],
])('rejects a key with %s', (_name, text) => {
  expect(parseUntypedKey(text)).toBeUndefined()
  expect(parsePublicKey(`nodekey:${text}`)).toBeUndefined()
  expect(parsePrivateKey(`privkey:${text}`)).toBeUndefined()
})

it.each(['', 'nodekey', 'NODEKEY:', 'privkey:', 'mkey:', ' nodekey:'])(
  'rejects the prefix "%s"',
  (prefix) => {
    expect(parsePublicKey(prefix + digits)).toBeUndefined()
  },
)

it('never reads a public key as a private one', () => {
  expect(parsePrivateKey(serverPublicText)).toBeUndefined()
  expect(parsePublicKey(serverPrivateText)).toBeUndefined()
  expect(parseUntypedKey(serverPublicText)).toBeUndefined()
})
