import { expect, test } from 'vitest'
import { NO_BUDGETS } from '#protocol/relay-limits.ts'
import { ConfigFixture } from './config-fixture.ts'

function args(fixture: ConfigFixture, ...more: string[]): string[] {
  return ['-c', fixture.keyPath, '-a', '127.0.0.1:3340', ...more]
}

test.each([
  [
    'both',
    '{"PerClientRateLimitBytesPerSec": 100000, "PerClientRateBurstBytes": 200000}',
    [100_000, 200_000],
  ],
  ['a burst below one packet', '{"PerClientRateLimitBytesPerSec": 100000}', [100_000, 65_568]],
  ['keys in another case', '{"perclientratelimitbytespersec": 5}', [5, 65_568]],
])("reads derper's rate file with %s", (_name, text, [bytesPerSecond, burstBytes]) => {
  using fixture = new ConfigFixture()
  const path = fixture.folder.write('rate.json', text)
  expect(fixture.settings(args(fixture, '-rate-config', path)).limits.rate).toEqual({
    bytesPerSecond,
    burstBytes,
  })
})

test.each(['{}', '{"PerClientRateLimitBytesPerSec": 0, "PerClientRateBurstBytes": 9}'])(
  '%s sets no limit',
  (text) => {
    using fixture = new ConfigFixture()
    const path = fixture.folder.write('rate.json', text)
    expect(fixture.settings(args(fixture, '-rate-config', path)).limits.rate).toBeUndefined()
  },
)

test.each([
  ['is missing', undefined, 'does not exist'],
  ['is no JSON', '{', 'is not JSON'],
  ['is a list', '[]', 'is not a JSON object'],
  [
    'has a misspelt key',
    '{"PerClientRateLimitBytesPerSecs": 1}',
    'has the unknown key "PerClientRateLimitBytesPerSecs"; did you mean PerClientRateLimitBytesPerSec?',
  ],
  ['has text', '{"PerClientRateBurstBytes": "1"}', 'has an invalid PerClientRateBurstBytes: "1"'],
  [
    'is negative',
    '{"PerClientRateLimitBytesPerSec": -1}',
    'has an invalid PerClientRateLimitBytesPerSec: -1',
  ],
])('refuses a rate file that %s', (_name, text, found) => {
  using fixture = new ConfigFixture()
  const path = text === undefined ? fixture.folder.at('rate.json') : fixture.folder.write('rate.json', text)
  expect(fixture.problems(args(fixture, '-rate-config', path))).toEqual([
    `-rate-config: ${path} ${found}; expected {"PerClientRateLimitBytesPerSec": N, "PerClientRateBurstBytes": M}, both whole numbers of bytes`,
  ])
})

test("accepts derper's queue depth; with zero only bytes are limited", () => {
  using fixture = new ConfigFixture()
  const packets = (depth: string): number =>
    fixture.settings(args(fixture), { TS_DEBUG_DERP_PER_CLIENT_SEND_QUEUE_DEPTH: depth }).limits
      .outboxPacketsMax
  expect([packets('64'), packets('0'), packets('')]).toEqual([64, Infinity, Infinity])
})

test('warns of an accept limit without a burst', () => {
  using fixture = new ConfigFixture()
  expect(fixture.settings(args(fixture, '-accept-connection-limit', '10')).warnings).toEqual([
    '-accept-connection-limit: has no effect without -accept-connection-burst',
  ])
})

test('zero disables timeouts', () => {
  using fixture = new ConfigFixture()
  const { limits } = fixture.settings(args(fixture, '-tcp-write-timeout', '0', '-tcp-user-timeout', '0s'))
  expect([limits.writeTimeoutMs, limits.tcpUserTimeoutMs]).toEqual([0, 0])
})

test.each([
  ['on a plain port', ['-a', '127.0.0.1:3340'], { minMs: 25_000, maxMs: 45_000 }],
  ['as it is set', ['-a', '127.0.0.1:3340', '-keepalive', '20s'], { minMs: 15_000, maxMs: 20_000 }],
  ['as seldom as it may', ['-a', '127.0.0.1:3340', '-keepalive', '110s'], { minMs: 82_500, maxMs: 110_000 }],
] as const)('keepalives come in time for proxies, %s', (_name, given, keepAlive) => {
  using fixture = new ConfigFixture()
  expect(fixture.settings(['-c', fixture.keyPath, ...given]).limits.keepAlive).toEqual(keepAlive)
})

test.each(['4999ms', '110001ms', '0'])('refuses a keepalive of %s', (given) => {
  using fixture = new ConfigFixture()
  const [problem] = fixture.problems(args(fixture, '-keepalive', given))
  expect(problem).toMatch(/-keepalive.*a duration from 5s to 110s/)
})

test('budgets are those of the options', () => {
  using fixture = new ConfigFixture()
  const bytes = 'bytes-per-second 12500000'
  const given = ['-connection-budget', bytes, '-key-budget', 'packets-per-second 7', '-announce-budget']
  expect(fixture.settings(args(fixture)).limits.budgets).toEqual(NO_BUDGETS)
  expect(fixture.settings(args(fixture, ...given)).limits.budgets).toEqual({
    connection: { bytesPerSecond: 12_500_000, packetsPerSecond: Infinity },
    key: { bytesPerSecond: Infinity, packetsPerSecond: 7 },
    relay: NO_BUDGETS.relay,
    areAnnounced: true,
  })
})
