import { NO_BUDGET } from '#protocol/budget.ts'
import { describe, expect, it } from 'vitest'
import { readKeyList, TENANT_MONTHS_MAX } from '#protocol/key-list.ts'
import { privateKeyText, publicKeyText } from '#protocol/node-key.ts'
import { clientA, clientB } from '../vectors/keys.ts'

const A = publicKeyText(clientA.publicKey)
const B = publicKeyText(clientB.publicKey)
const base64 = (key: Uint8Array): string => Buffer.from(key).toString('base64')

it('knows keys as Tailscale and as WireGuard write them, tenants, comments and empty lines', () => {
  const text = `# members\n\n  ${A} # a laptop\r\nallow ${base64(clientB.publicKey)} tenant blue-1\n`
  const read = readKeyList('keys', text)
  const list = 'list' in read ? read.list : undefined
  expect(list?.size).toBe(2)
  expect(list?.find(clientA.publicKey)).toEqual({ isAllowed: true, tenant: undefined })
  expect(list?.find(clientB.publicKey)).toEqual({ isAllowed: true, tenant: 'blue-1' })
  expect(list?.find(new Uint8Array(32))).toBe(undefined)
})

it.each([
  ['deny first', `deny ${A}\nallow ${A}\n`],
  ['deny last', `allow ${A}\ndeny ${A}\n`],
  ['deny last, of a tenant', `allow ${A} tenant x\ndeny ${A}`],
])('a key that is denied anywhere is denied: %s', (_, text) => {
  const read = readKeyList('keys', text)
  expect('list' in read ? read.list.find(clientA.publicKey)?.isAllowed : undefined).toBe(false)
})

describe('a mistake is named by its line, and no secret is shown', () => {
  it.each([
    [
      'a word that is no key',
      `${A}\nallow laptop\n`,
      [
        'keys:2: "laptop" is no key; expected nodekey:<64 hex digits>, or 44 characters of base64 as WireGuard writes keys',
      ],
    ],
    [
      'no key',
      'allow\n',
      [
        'keys:1: no key; expected nodekey:<64 hex digits>, or 44 characters of base64 as WireGuard writes keys',
      ],
    ],
    ['a verb that is none', `permit ${A}`, [expect.stringMatching(/^keys:1: "permit" is no key; /)]],
    [
      'a tenant without a name',
      `${A} tenant`,
      [expect.stringMatching(/^keys:1: the tenant ""; expected 1 to 32 /)],
    ],
    [
      'another tenant',
      `${A} tenant a\n${A} tenant b`,
      ['keys:2: this key is of another tenant above; expected one tenant for each key'],
    ],
    ['a tenant that is denied', `deny ${B} tenant a`, [expect.stringMatching(/expected "deny KEY"$/)]],
    [
      'a budget that stops its key',
      `${A} tenant a bytes-per-second 1`,
      ['keys:1: bytes-per-second is "1"; expected a whole number, 8192 or more, or unlimited'],
    ],
    [
      'another budget',
      `${A} packets-per-second 7\n${A} packets-per-second 8`,
      ['keys:2: this key has another budget above; expected one budget for each key'],
    ],
    [
      'more words after a tenant',
      `${A} tenant a laptop`,
      [expect.stringMatching(/"laptop" after the tenant; /)],
    ],
    ['more words', `${A} my laptop`, [expect.stringMatching(/^keys:1: "my laptop" after the key; /)]],
    [
      'base64 with other last bits',
      `${base64(clientA.publicKey).slice(0, 42)}${String.fromCodePoint((base64(clientA.publicKey).codePointAt(42) ?? 0) + 1)}=`,
      [expect.stringMatching(/is no key/)],
    ],
  ])('%s', (_, text, problems) => {
    expect(readKeyList('keys', text)).toEqual({ problems })
  })

  it('a private key', () => {
    const read = readKeyList('keys', privateKeyText(clientA.privateKey))
    expect(JSON.stringify(read)).toContain('a private key')
    expect(JSON.stringify(read)).not.toContain(privateKeyText(clientA.privateKey).slice(8, 20))
  })

  it('a thousand mistakes are twenty', () => {
    expect(readKeyList('keys', 'x\n'.repeat(1_000))).toMatchObject({ problems: { length: 20 } })
  })
})

it('a list of more keys than a list may have is refused, in time', () => {
  const lines = Array.from({ length: 40_001 }, (_, n) => `nodekey:${n.toString(16).padStart(64, '0')}`)
  expect(readKeyList('keys', lines.slice(1).join('\n'))).toHaveProperty('list')
  expect(readKeyList('keys', lines.join('\n'))).toHaveProperty('problems')
})

it('knows budgets of keys, with a tenant and without', () => {
  const text = `${A} bytes-per-second 1250000 packets-per-second 2000\n${B} tenant blue bytes-per-second unlimited\n`
  const read = readKeyList('keys', text)
  const list = 'list' in read ? read.list : undefined
  expect(list?.find(clientA.publicKey)).toEqual({
    isAllowed: true,
    tenant: undefined,
    budget: { bytesPerSecond: 1_250_000, packetsPerSecond: 2_000 },
  })
  expect(list?.find(clientB.publicKey)).toEqual({ isAllowed: true, tenant: 'blue', budget: NO_BUDGET })
})

it('knows what is said of tenants', () => {
  const text = 'tenant blue weight 2 bytes-per-second 12500000\ntenant red packets-per-second 20000 # slow\n'
  const read = readKeyList('keys', text)
  expect('list' in read && read.list.tenantRules).toEqual(
    new Map([
      ['blue', { weight: 2, bytesPerSecond: 12_500_000, packetsPerSecond: Infinity }],
      ['red', { weight: 1, bytesPerSecond: Infinity, packetsPerSecond: 20_000 }],
    ]),
  )
})

it.each([
  ['tenant', 'the tenant ""; expected 1 to 32 of a-z, 0-9 and -, not at either end'],
  [
    'tenant blue speed 2',
    '"speed"; expected weight, bytes-per-second, packets-per-second, month-bytes, month-over',
  ],
  [
    'tenant blue month-bytes 2XB',
    'month-bytes is "2XB"; expected a number of bytes above 0, such as 500GB or 20TB',
  ],
  ['tenant blue month-bytes', 'month-bytes is ""; expected a number of bytes above 0, such as 500GB or 20TB'],
  ['tenant blue month-bytes 1TB month-bytes 1TB', 'a second month-bytes'],
  ['tenant blue month-bytes 1TB month-over stop', 'month-over is "stop"; expected alarm or disco'],
  ['tenant blue weight 2 month-over disco', 'month-over without month-bytes'],
  ['tenant blue weight 0', 'weight is "0"; expected a whole number, 1 to 1000'],
  ['tenant blue weight', 'weight is ""; expected a whole number, 1 to 1000'],
  [
    'tenant blue bytes-per-second 100',
    'bytes-per-second is "100"; expected a whole number, 8192 or more, or unlimited',
  ],
  ['tenant blue weight 1 weight 2', 'a second weight'],
  ['tenant blue\ntenant blue weight 2', 'a second line about the tenant blue'],
])('refuses %s', (text, problem) => {
  const line = text.split('\n').length
  expect(readKeyList('keys', text)).toEqual({ problems: [`keys:${line}: ${problem}`] })
})

it('knows what may be sent to the clients of a tenant in a month, wherever it stands in the line', () => {
  const text =
    'tenant blue month-bytes 2TB\ntenant red month-over disco weight 3 month-bytes 7\ntenant gray weight 2\n'
  const read = readKeyList('keys', text)
  const rules = 'list' in read ? read.list.tenantRules : undefined
  expect(['blue', 'red', 'gray'].map((name) => rules?.get(name)?.month)).toEqual([
    { bytesMax: 2e12, over: 'alarm' },
    { bytesMax: 7, over: 'disco' },
    undefined,
  ])
  expect(rules?.get('red')?.weight).toBe(3)
})

it('has a month of so many tenants only', () => {
  const lines = (count: number): string =>
    Array.from({ length: count }, (_, n) => `tenant t${n} month-bytes 1TB\n`).join('')
  expect(readKeyList('keys', lines(TENANT_MONTHS_MAX))).toHaveProperty('list')
  expect(readKeyList('keys', lines(TENANT_MONTHS_MAX + 1))).toEqual({
    problems: ['keys has 1001 tenants with month-bytes; expected at most 1000'],
  })
})
