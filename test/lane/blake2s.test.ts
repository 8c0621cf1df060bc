import { createHash, createHmac } from 'node:crypto'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Blake2sMac, blake2s, hmacBlake2s } from '#lane/blake2s.ts'

const message = fc.uint8Array({ maxLength: 400 })
const key = fc.uint8Array({ minLength: 1, maxLength: 32 })

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

it('hashes as the runtime does, in however many parts', () => {
  fc.assert(
    fc.property(message, message, (first, second) => {
      const expected = createHash('blake2s256').update(first).update(second).digest('hex')
      expect(hex(blake2s(first, second))).toBe(expected)
    }),
  )
})

it('makes the HMAC that the runtime makes', () => {
  fc.assert(
    fc.property(key, message, (secret, text) => {
      expect(hex(hmacBlake2s(secret, text))).toBe(createHmac('blake2s256', secret).update(text).digest('hex'))
    }),
  )
})

/** Bytes of the key, bytes of the message, and the MAC that Python's hashlib makes. */
const KEYED = [
  [32, 1, '13bacfb85b48a1223c595f8c1e7e82cb'],
  [32, 60, '945f47d5603fafe56313e6afb010856e'],
  [32, 64, 'a5f01ae94b378e819c8c3933c2d9f2dd'],
  [32, 65, '424237413b3dc5728e25c57910632ca3'],
  [16, 116, '4c5d71b58dae0a24a360d2764e3cb650'],
  [32, 128, 'c5ee55fe995686f1af93cca3f2316ef8'],
  [1, 129, '5f4bfd5afb7e103ac6deb0a11f02f018'],
  [32, 400, 'adb29496e951c43d8e8cac4cb01eef94'],
] as const

it.each(KEYED)(
  'a key of %i bytes, a message of %i: the MAC that another implementation makes',
  (keyBytes, bytes, expected) => {
    const secret = Uint8Array.from({ length: keyBytes }, (_, i) => i)
    const text = Uint8Array.from({ length: bytes }, (_, i) => 7 * i)
    expect(hex(new Blake2sMac(secret).of(text))).toBe(expected)
  },
)

it('recognizes MACs, and no others', () => {
  fc.assert(
    fc.property(key, fc.uint8Array({ minLength: 1, maxLength: 400 }), fc.nat(), (secret, text, flip) => {
      const mac = new Blake2sMac(secret)
      const whole = Buffer.concat([text, mac.of(text)])
      expect(mac.matches(whole, text.length)).toBe(true)
      const at = flip % whole.length
      whole.writeUInt8(whole.readUInt8(at) ^ (1 << (flip % 8)), at)
      expect(mac.matches(whole, text.length)).toBe(false)
    }),
  )
})
