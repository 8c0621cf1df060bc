// STUN in both directions: the vectors, those of RFC 5769, messages built of attributes, and damaged datagrams.

import { crc32 } from 'node:zlib'
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { ipToBytes } from '#protocol/ip-address.ts'
import {
  bindingRequest,
  isBindingRequest,
  isStun,
  readBindingAnswer,
  STUN_ANSWER_BYTES_MAX,
  TRANSACTION_ID_BYTES,
  writeBindingAnswer,
} from '#protocol/stun.ts'
import { frames } from '../vectors/frames.ts'
import * as stun from '../vectors/stun.ts'
import { damaged, exactly } from './arbitraries.ts'

const readAddress = ({ ip, port }: stun.AnswerVector, transactionId: Uint8Array) => ({
  transactionId: Uint8Array.from(transactionId),
  ip: ipToBytes(ip),
  port,
})
const software = Buffer.from('tailnode')

/** A binding request with the given attributes and a correct fingerprint at its end. */
function requestOf(...attributes: Buffer[]): Buffer {
  return messageOf(stun.request.subarray(0, 20), ...attributes)
}

function messageOf(header: Buffer, ...attributes: Buffer[]): Buffer {
  const length = attributes.reduce((sum, { length }) => sum + length, 8)
  const before = Buffer.concat([header, ...attributes])
  before.writeUInt16BE(length, 2)
  return Buffer.concat([before, attribute(0x8028, word(crc32(before) ^ 0x5354554e))])
}

function attribute(type: number, value: Uint8Array): Buffer {
  const header = Buffer.alloc(4)
  header.writeUInt16BE(type, 0)
  header.writeUInt16BE(value.length, 2)
  return Buffer.concat([header, value, Buffer.alloc((4 - (value.length % 4)) % 4)])
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

it('writes the request of Tailscale clients byte for byte', () => {
  expect(toHex(bindingRequest(stun.transactionId))).toBe(toHex(stun.request))
  expect(isBindingRequest(stun.request)).toBe(true)
})

it.each(['ipv4', 'ipv6'] as const)('writes the %s answer byte for byte, and nothing behind it', (family) => {
  const { ip, port, message } = stun.answers[family]
  const out = Buffer.alloc(STUN_ANSWER_BYTES_MAX + 4, 0xee)
  const length = writeBindingAnswer(out, stun.request, ipToBytes(ip), port)
  expect(toHex(out.subarray(0, length))).toBe(toHex(message))
  expect(toHex(out.subarray(length))).toBe('ee'.repeat(out.length - length))
})

it.each(Object.entries(stun.answers))('reads the %s answer', (_form, vector) => {
  expect(readBindingAnswer(vector.message)).toEqual(readAddress(vector, stun.transactionId))
})

it.each(Object.entries(stun.ignoredRequests))('does not answer a request with %s', (_name, request) => {
  expect(isStun(request)).toBe(true)
  expect(isBindingRequest(request)).toBe(false)
})

it('does not answer the sample request of RFC 5769, which other software sends', () => {
  expect(isStun(stun.rfc5769.request)).toBe(true)
  expect(isBindingRequest(stun.rfc5769.request)).toBe(false)
})

it.each(['ipv4', 'ipv6'] as const)('reads the sample %s response of RFC 5769', (family) => {
  const vector = stun.rfc5769[family]
  expect(readBindingAnswer(vector.message)).toEqual(readAddress(vector, stun.rfc5769TransactionId))
})

it('does not confuse requests and answers', () => {
  const { ipv4, ipv6, mapped } = stun.answers
  for (const { message } of [ipv4, ipv6, mapped]) expect(isBindingRequest(message)).toBe(false)
  expect(readBindingAnswer(stun.request)).toBeUndefined()
})

it('does not answer a request with any bit flipped', () => {
  for (let bit = 0; bit < stun.request.length * 8; bit++) {
    const flipped = Buffer.from(stun.request)
    flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
    expect({ bit, isAnswered: isBindingRequest(flipped) }).toEqual({ bit, isAnswered: false })
  }
})

it('does not answer a truncated request, or one with bytes behind its fingerprint', () => {
  for (let length = 0; length < stun.request.length; length++) {
    expect(isBindingRequest(stun.request.subarray(0, length))).toBe(false)
  }
  expect(isBindingRequest(Buffer.concat([stun.request, Buffer.alloc(1)]))).toBe(false)
  expect(isBindingRequest(Buffer.concat([stun.request, attribute(0x8023, word(0))]))).toBe(false)
})

it('answers a request with any other attributes besides software and fingerprint', () => {
  const ours = attribute(0x8022, software)
  const needed = attribute(0x0024, Buffer.from('comprehension required'))
  expect(isBindingRequest(requestOf(ours))).toBe(true)
  expect(isBindingRequest(requestOf(needed, ours, attribute(0x8023, Buffer.alloc(0))))).toBe(true)
  expect(isBindingRequest(requestOf(ours, attribute(0x8028, word(1))))).toBe(true)
  const unchecked = requestOf(ours)
  unchecked.writeUInt16BE(7, 2)
  unchecked.writeUInt32BE((crc32(unchecked.subarray(0, -8)) ^ 0x5354554e) >>> 0, unchecked.length - 4)
  expect(isBindingRequest(unchecked)).toBe(true)
})

it.each([
  ['no software', []],
  ['software that starts like ours', [attribute(0x8022, Buffer.from('tailnode2'))]],
  ['software cut short', [attribute(0x8022, software.subarray(0, 7))]],
  ['our name under another number', [attribute(0x8023, software)]],
])('does not answer a request with a correct fingerprint but %s', (_name, attributes) => {
  expect(isBindingRequest(requestOf(...attributes))).toBe(false)
})

it.each([
  ['another type', '0002'],
  ['the type of an indication', '0011'],
  ['the top bits of something else', 'c001'],
  ['another cookie', '0001000012345678'],
])('accepts no request with a correct fingerprint but %s', (_name, start) => {
  const header = Buffer.from(stun.request.subarray(0, 20))
  header.write(start, 'hex')
  expect(isBindingRequest(messageOf(header, attribute(0x8022, software)))).toBe(false)
})

it.each([
  ['the type of an error', '0111'],
  ['the top bits of something else', 'c101'],
  ['another cookie', '0101000c12345678'],
])('accepts no answer with %s', (_name, start) => {
  const message = Buffer.from(stun.answers.ipv4.message)
  message.write(start, 'hex')
  expect(readBindingAnswer(message)).toBeUndefined()
})

it('finds the software attribute among several', () => {
  const [ours, theirs] = [attribute(0x8022, software), attribute(0x8022, Buffer.from('otherapp'))]
  expect(isBindingRequest(requestOf(ours, theirs))).toBe(true)
  expect(isBindingRequest(requestOf(theirs, ours))).toBe(true)
})

it('reads every request and answer that it writes', () => {
  fc.assert(
    fc.property(
      exactly(TRANSACTION_ID_BYTES),
      fc.oneof(fc.ipV4(), fc.ipV6()),
      fc.nat(65_535),
      (transactionId, text, port) => {
        const request = bindingRequest(transactionId)
        expect(isBindingRequest(request)).toBe(true)
        expect(Buffer.from(request).readUInt16BE(2)).toBe(request.length - 20)
        const out = Buffer.alloc(STUN_ANSWER_BYTES_MAX)
        const ip = ipToBytes(text)
        const length = writeBindingAnswer(out, request, ip, port)
        expect(out.readUInt16BE(2)).toBe(length - 20)
        expect(readBindingAnswer(out.subarray(0, length))).toEqual({ transactionId, ip, port })
      },
    ),
  )
})

/** A success message with the given attributes. */
function answerOf(...attributes: Buffer[]): Buffer {
  const body = Buffer.concat(attributes)
  const header = Buffer.from(stun.answers.ipv4.message.subarray(0, 20))
  header.writeUInt16BE(body.length, 2)
  return Buffer.concat([header, body])
}

const xored = stun.answers.ipv4.message.subarray(24)
const plainAddress = Buffer.from('0001c3520a000001', 'hex')
const fromXored = readAddress(stun.answers.ipv4, stun.transactionId)
const fromPlain = readAddress({ ip: '10.0.0.1', port: 50_002, message: plainAddress }, stun.transactionId)

it.each([
  ['the old number of XOR-MAPPED-ADDRESS', [attribute(0x8020, xored)], fromXored],
  ['MAPPED-ADDRESS alone', [attribute(0x0001, plainAddress)], fromPlain],
  ['MAPPED-ADDRESS before the other', [attribute(0x0001, plainAddress), attribute(0x0020, xored)], fromXored],
  [
    'software of odd length first',
    [attribute(0x8022, Buffer.from('x')), attribute(0x0020, xored)],
    fromXored,
  ],
  ['no address', [attribute(0x8022, software)], undefined],
  ['nothing', [], undefined],
  ['an address without a value', [attribute(0x0020, Buffer.alloc(0))], undefined],
  ['an address cut short', [attribute(0x0020, xored.subarray(0, 7))], undefined],
  [
    'an IPv6 address as long as an IPv4 one',
    [attribute(0x0020, Buffer.from('000283bbea12d545', 'hex'))],
    undefined,
  ],
  ['an unknown family', [attribute(0x0020, Buffer.from(`0003${'00'.repeat(18)}`, 'hex'))], undefined],
])('reads an answer with %s', (_name, attributes, expected) => {
  expect(readBindingAnswer(answerOf(...attributes))).toEqual(expected)
})

it('ignores bytes behind the length of an answer', () => {
  const { message } = stun.answers.ipv4
  expect(readBindingAnswer(Buffer.concat([message, attribute(0x0020, Buffer.alloc(20, 2))]))).toEqual(
    fromXored,
  )
  const empty = Buffer.from(message)
  empty.writeUInt16BE(0, 2)
  expect(readBindingAnswer(empty)).toBeUndefined()
})

it('copies the transaction id from the borrowed datagram', () => {
  const message = Buffer.from(stun.answers.ipv4.message)
  const answer = readBindingAnswer(message)
  message.fill(0)
  expect(answer).toEqual(fromXored)
})

const requests = [stun.request, stun.rfc5769.request, ...Object.values(stun.ignoredRequests)]
const messages = [
  ...requests,
  stun.answers.ipv6.message,
  stun.rfc5769.ipv6.message,
  stun.rfc5769.ipv4.message,
]

it('answers only damaged datagrams that are still complete requests', () => {
  fc.assert(
    fc.property(damaged(...messages), (datagram) => {
      if (!isBindingRequest(datagram)) return
      expect(datagram.readUInt16BE(0)).toBe(1)
      expect(datagram.includes(software)).toBe(true)
      const fingerprint = (crc32(datagram.subarray(0, -8)) ^ 0x5354554e) >>> 0
      expect(datagram.readUInt32BE(datagram.length - 4)).toBe(fingerprint)
    }),
    { numRuns: 2_000 },
  )
})

it('reads a complete address or nothing from damaged answers', () => {
  fc.assert(
    fc.property(damaged(...messages), (datagram) => {
      const answer = readBindingAnswer(datagram)
      if (answer === undefined) return
      expect(isStun(datagram)).toBe(true)
      expect([answer.transactionId.length, answer.ip.length]).toEqual([12, 16])
      expect(answer.port >= 0 && answer.port <= 65_535).toBe(true)
    }),
    { numRuns: 2_000 },
  )
})

it('reads the largest datagram of empty attributes in bounded time', () => {
  const datagram = Buffer.alloc(65_504)
  stun.request.copy(datagram, 0, 0, 20)
  expect(isBindingRequest(datagram)).toBe(false)
  datagram.writeUInt16BE(0x0101, 0)
  expect(readBindingAnswer(datagram)).toBeUndefined()
})

it('does not take DERP frames or noise for STUN', () => {
  for (const frame of Object.values(frames)) expect(isStun(frame)).toBe(false)
  const noise = Buffer.from(stun.request)
  noise.writeUInt8(0x80, 0)
  expect(isStun(noise)).toBe(false)
  expect(isStun(stun.request.subarray(0, 19))).toBe(false)
  expect(isStun(stun.request.subarray(0, 20))).toBe(true)
})
