import { randomBytes } from 'node:crypto'
import { beforeEach, expect, it } from 'vitest'
import { CookieChecker, MacWriter, mac1Of } from '#lane/macs.ts'
import { INITIATION_BYTES, INITIATION_MAC1_AT } from '#lane/messages.ts'

const key = new Uint8Array(randomBytes(32))
const address = new Uint8Array([192, 168, 13, 37, 10, 10])
let checker: CookieChecker
let writer: MacWriter

beforeEach(() => {
  checker = new CookieChecker(key, (bytes) => new Uint8Array(randomBytes(bytes)))
  writer = new MacWriter(key, mac1Of(key))
})

function initiation(nowMs: number): Buffer {
  const message = randomBytes(INITIATION_BYTES).fill(0, INITIATION_MAC1_AT)
  writer.write(message, INITIATION_MAC1_AT, nowMs)
  return message
}

it('mac1 is of the receiver, and says nothing of the address', () => {
  const message = initiation(0)
  expect(mac1Of(key).matches(message, INITIATION_MAC1_AT)).toBe(true)
  expect(mac1Of(randomBytes(32)).matches(message, INITIATION_MAC1_AT)).toBe(false)
  expect(checker.hasCookie(message, address, 0)).toBe(false)
})

it('a cookie makes mac2, at its address, until it is too old', () => {
  const reply = checker.reply(initiation(0), address, 0)
  expect(reply.readUInt32LE(0)).toBe(3)
  expect(writer.takeCookie(reply, 0)).toBe(true)
  expect(checker.hasCookie(initiation(1_000), address, 1_000)).toBe(true)
  expect(checker.hasCookie(initiation(1_000), new Uint8Array([192, 168, 13, 37, 40, 1]), 1_000)).toBe(false)
  // The secret is replaced once and still known; replaced twice, it is not.
  expect(checker.hasCookie(initiation(119_000), address, 121_000)).toBe(true)
  expect(checker.hasCookie(initiation(119_000), address, 242_000)).toBe(false)
  const late = initiation(121_000)
  expect(late.subarray(132).every((byte) => byte === 0)).toBe(true)
})

it('a cookie for another message, and one of another key, are not taken', () => {
  const reply = checker.reply(initiation(0), address, 0)
  initiation(1)
  expect(writer.takeCookie(reply, 1)).toBe(false)
  const other = new CookieChecker(randomBytes(32), (bytes) => new Uint8Array(randomBytes(bytes)))
  expect(writer.takeCookie(other.reply(initiation(2), address, 2), 2)).toBe(false)
})
