import { createPrivateKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { expect, it } from 'vitest'
import {
  leaseKeyText,
  leaseText,
  LEASE_BYTES_MAX,
  LEASE_KEYS_MAX,
  parseLeaseKey,
  parseSigningKey,
  readLease,
  type LeaseEntry,
} from '#protocol/lease.ts'
import { keyName } from '#protocol/node-key.ts'

const BEGIN_MS = Date.UTC(2026, 10, 27, 14)
const END_MS = Date.UTC(2026, 11, 4, 14)

/** RFC 8032, test 1. */
const KEY = createPrivateKey({
  key: Buffer.from(
    '302e020100300506032b6570042204209d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60',
    'hex',
  ),
  format: 'der',
  type: 'pkcs8',
})
const PUBLIC = leaseKeyText(KEY)
const OTHER = generateKeyPairSync('ed25519').privateKey

function entry(byte: number, more: Partial<LeaseEntry> = {}): LeaseEntry {
  const key = new Uint8Array(32).fill(byte)
  return { key, isAllowed: true, tenant: undefined, untilMs: END_MS, name: undefined, ...more }
}

const ENTRIES = [
  entry(0xbb, { tenant: 'blue', untilMs: END_MS - 1_000, name: 'bobs-laptop' }),
  entry(0xaa),
  entry(0xcc, { isAllowed: false }),
]
const CONTENT = { serial: 7, notBeforeMs: BEGIN_MS, notAfterMs: END_MS, entries: ENTRIES }
const TEXT = leaseText(CONTENT, KEY)

function signed(body: string, key: KeyObject = KEY): string {
  return `${body}signature ${sign(null, Buffer.from(body), key).toString('base64')}\n`
}

const BODY = TEXT.slice(0, TEXT.lastIndexOf('signature '))
const without = (line: string): string => BODY.replace(new RegExp(`${line}.*\\n`), '')

it('is the same text for the same content, which anybody can read, with the signature that OpenSSL makes', () => {
  expect(TEXT).toBe(`derpfleet lease 1
serial 7
not-before 2026-11-27T14:00:00Z
not-after 2026-12-04T14:00:00Z
allow nodekey:${'aa'.repeat(32)}
allow nodekey:${'bb'.repeat(32)} tenant blue until 2026-12-04T13:59:59Z name bobs-laptop
deny nodekey:${'cc'.repeat(32)}
signature Z75SeAqjZD8Cm/4A6TCT4CTFJmCiGIx7wrXNgG61N2ZIYBifNN3481QWy+PcUq+y7P8+IKtgNG2ZHAK5IQntAQ==
`)
  expect(leaseText({ ...CONTENT, entries: ENTRIES.toReversed() }, KEY)).toBe(TEXT)
})

it('has budgets of keys, and is refused with one that stops its key', () => {
  const budgets = [
    { bytesPerSecond: 1_250_000, packetsPerSecond: 2_000 },
    { bytesPerSecond: Infinity, packetsPerSecond: 9 },
    { bytesPerSecond: Infinity, packetsPerSecond: Infinity },
  ]
  const entries = budgets.map((budget, n) => entry(n + 1, { budget, name: 'x', tenant: 'blue' }))
  const read = readLease(leaseText({ ...CONTENT, entries }, KEY), [PUBLIC])
  expect('lease' in read && [...read.lease.entries.values()]).toEqual(entries)
  const stopping = BODY.replace(' name bobs-laptop', ' bytes-per-second 0')
  expect(readLease(signed(stopping), [PUBLIC])).toHaveProperty(
    'problem',
    expect.stringMatching(/^line \d: bytes-per-second is "0"; expected /),
  )
})

it('is read as it was made', () => {
  const read = readLease(TEXT, [leaseKeyText(OTHER), PUBLIC])
  if ('problem' in read) return expect.unreachable(read.problem)
  const { entries, ...fields } = read.lease
  expect(fields).toEqual({ serial: 7, notBeforeMs: BEGIN_MS, notAfterMs: END_MS, signer: PUBLIC })
  expect([...entries.keys()]).toEqual([0xaa, 0xbb, 0xcc].map((byte) => keyName(entry(byte).key)))
  expect([...entries.values()]).toEqual([ENTRIES[1], ENTRIES[0], ENTRIES[2]])
})

it('passes over what later versions add, and an entry ends with the lease at the latest', () => {
  const later = BODY.replace('serial 7', 'serial 7\nlimits-by https://example.com/ x').replace(
    `allow nodekey:${'aa'.repeat(32)}`,
    `allow nodekey:${'aa'.repeat(32)} rate 100 until 2030-01-01T00:00:00Z`,
  )
  const read = readLease(signed(later), [PUBLIC])
  expect('lease' in read && read.lease.entries.get(keyName(entry(0xaa).key))).toEqual(entry(0xaa))
})

it.each<[string, string, RegExp]>([
  ['a stranger has signed', leaseText(CONTENT, OTHER), /signed by none of the 1 keys/],
  [
    'says more than was signed',
    TEXT.replace('signature', `allow nodekey:${'dd'.repeat(32)}\nsignature`),
    /changed since/,
  ],
  ['was given more time', TEXT.replace('2026-12-04T14', '2027-12-04T14'), /changed since/],
  ['allows whom it denied', TEXT.replace('deny', 'allow'), /changed since/],
  ['has lost a line', TEXT.replace(/deny.*\n/, ''), /changed since/],
  ['has no signature', BODY, /no signature at its end/],
  ['has half a signature', TEXT.slice(0, -20), /no signature at its end/],
  ['lacks its last line end', TEXT.slice(0, -1), /no signature at its end/],
  ['has text after the signature', `${TEXT}allow nodekey:${'dd'.repeat(32)}\n`, /no signature at its end/],
  ['has a signature of zeros', `${BODY}signature ${Buffer.alloc(64).toString('base64')}\n`, /changed since/],
  [
    'has the signature of another lease',
    BODY + leaseText({ ...CONTENT, serial: 8 }, KEY).slice(-99),
    /changed since/,
  ],
  ['was written on Windows', TEXT.replaceAll('\n', '\r\n'), /no signature at its end/],
  ['is empty', '', /is no lease/],
  ['is something else that the key has signed', signed('{"Regions":{}}\n'), /is no lease/],
  ['is of a later version', signed(BODY.replace('lease 1', 'lease 2')), /a format of a later version/],
  ['has no serial', signed(without('serial')), /lacks a line/],
  ['has two serials', signed(BODY.replace('serial 7', 'serial 7\nserial 8')), /line 3: a second serial/],
  [
    'has a serial that is no number',
    signed(BODY.replace('serial 7', 'serial 1e3')),
    /line 2: serial is "1e3"/,
  ],
  [
    'has a serial beyond all numbers',
    signed(BODY.replace('serial 7', `serial ${'9'.repeat(16)}`)),
    /line 2: serial/,
  ],
  ['has no end', signed(without('not-after')), /lacks a line/],
  ['has an end on no day', signed(BODY.replace('2026-12-04', '2026-02-30')), /line 4: not-after/],
  ['has local time', signed(BODY.replace('-04T14:00:00Z', '-04T14:00:00+02:00')), /line 4: not-after/],
  ['ends before it begins', signed(BODY.replace('2026-12-04T14', '2026-11-27T13')), /ends before it begins/],
  [
    'has a key twice',
    signed(BODY.replace('aa'.repeat(32), 'bb'.repeat(32))),
    /line 6: this key is in a line above/,
  ],
  [
    'has half a key',
    signed(BODY.replace('aa'.repeat(32), 'aa'.repeat(31))),
    /line 5: expected "allow nodekey:/,
  ],
  ['has a word without a value', signed(BODY.replace(' name bobs-laptop', ' name')), /line 6/],
  [
    'has a tenant that is none',
    signed(BODY.replace('tenant blue', 'tenant Blue')),
    /line 6: tenant is "Blue"/,
  ],
  [
    'has two ends of a key',
    signed(BODY.replace('until', 'until 2030-01-01T00:00:00Z until')),
    /a second until/,
  ],
  ['has an empty line', signed(BODY.replace('deny', '\ndeny')), /line 7/],
  ['has a letter beyond ASCII', signed(BODY.replace('bobs', 'b\u00f6bs')), /line 6/],
])('refuses a lease that %s', (_case, text, problem) => {
  const read = readLease(text, [PUBLIC])
  expect('problem' in read && read.problem).toMatch(problem)
})

it('refuses every lease that was cut, at whatever byte', () => {
  for (let length = 0; length < TEXT.length; length++)
    expect(readLease(TEXT.slice(0, length), [PUBLIC])).toHaveProperty('problem')
})

it('refuses every lease in which a bit is another', () => {
  for (let at = 0; at < TEXT.length; at++)
    for (const bit of [1, 16]) {
      const bytes = Buffer.from(TEXT)
      bytes.writeUInt8(bytes.readUInt8(at) ^ bit, at)
      expect(readLease(bytes.toString('latin1'), [PUBLIC]), `byte ${at}`).toHaveProperty('problem')
    }
})

it('is bounded in keys and in bytes', () => {
  const many = Array.from({ length: LEASE_KEYS_MAX + 1 }, (_, n) => {
    const key = new Uint8Array(32)
    new DataView(key.buffer).setUint32(0, n + 1)
    return { ...entry(0), key }
  })
  expect(readLease(leaseText({ ...CONTENT, entries: many.slice(1) }, KEY), [PUBLIC])).toHaveProperty('lease')
  expect(readLease(leaseText({ ...CONTENT, entries: many }, KEY), [PUBLIC])).toEqual({
    problem: 'has more than 40000 keys',
  })
  const large = signed(BODY.replace('serial 7', `serial 7\nnote ${'x'.repeat(LEASE_BYTES_MAX)}`))
  expect(readLease(large, [PUBLIC])).toEqual({
    problem: expect.stringMatching(/expected 4194304 at most/) as string,
  })
})

it.each([
  ['nothing', ''],
  ['half a key', PUBLIC.slice(0, 40)],
  ['the key with a space', `${PUBLIC} `],
  ['the bytes of the key alone', Buffer.from(PUBLIC, 'base64').subarray(12).toString('base64')],
  [
    'a key of another type',
    generateKeyPairSync('x25519').publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
  ],
  ...[
    '01'.padEnd(64, '0'),
    '0'.repeat(64),
    'ec'.padEnd(62, 'f') + '7f',
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    'ff'.repeat(32),
  ].map((hex) => [`a point of small order or none: ${hex.slice(0, 8)}`, spki(hex)]),
])('takes %s for no public key', (_case, text) => {
  expect(parseLeaseKey(text)).toBeUndefined()
  expect(parseLeaseKey(PUBLIC)).toBeDefined()
})

function spki(hex: string): string {
  return Buffer.concat([Buffer.from(PUBLIC, 'base64').subarray(0, 12), Buffer.from(hex, 'hex')]).toString(
    'base64',
  )
}

it('reads a private key in PEM, and says nothing of one that it cannot use', () => {
  const pem = KEY.export({ format: 'pem', type: 'pkcs8' }).toString()
  const read = parseSigningKey(pem)
  expect('key' in read && leaseKeyText(read.key)).toBe(PUBLIC)
  expect(parseSigningKey(pem.slice(0, 60))).toEqual({ problem: 'has no key that can be read' })
  const x25519 = generateKeyPairSync('x25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
  expect(parseSigningKey(x25519)).toEqual({ problem: 'has a key of type x25519' })
})
