import { expect, test } from 'vitest'
import { ConfigFixture } from './config-fixture.ts'

const PUBLIC = ['-a', '0.0.0.0:3340']
const URL_FLAG = ['-verify-client-url', 'https://headscale.example/verify']

test('a public relay does not start without an admission policy', () => {
  using fixture = new ConfigFixture()
  const problems = fixture.problems(['-c', fixture.keyPath, ...PUBLIC])
  expect(problems).toEqual([
    '-a: 0.0.0.0:3340 is not loopback, and no admission policy is set; ' +
      'expected -verify-client-url URL (for Headscale: https://HEADSCALE/verify), ' +
      '-verify-clients (clients known to the local tailscaled), -allow-keys-file FILE, -lease-file FILE, or -open-relay (every client)',
  ])
  expect(fixture.problems(['-c', fixture.keyPath], { DERP_ADDR: ':3340' })).toEqual([
    expect.stringMatching(/^DERP_ADDR: (\[::\])?:3340 is not loopback/),
  ])
  expect(fixture.problems(['-dev'])).toEqual([expect.stringMatching(/^-dev: (\[::\])?:3340 is not loopback/)])
})

test.each([
  ['open to all', ['-open-relay'], { isOpen: true, verifyUrl: undefined, tailscaledSocket: undefined }],
  ['checked by URL', URL_FLAG, { isOpen: false, verifyUrl: URL_FLAG[1], tailscaledSocket: undefined }],
  ['checked by tailscaled', ['-verify-clients', '-socket', '/s'], { isOpen: false, tailscaledSocket: '/s' }],
  [
    'checked by both',
    [...URL_FLAG, '-verify-clients', '-socket', '/s'],
    { verifyUrl: URL_FLAG[1], tailscaledSocket: '/s' },
  ],
  ['without relaying', ['-derp=false'], { isOpen: true }],
])('a public relay may be %s', (_name, args, expected) => {
  using fixture = new ConfigFixture()
  expect(fixture.settings(['-c', fixture.keyPath, ...PUBLIC, ...args]).admission).toMatchObject(expected)
})

test('a relay on loopback needs no policy and is open', () => {
  using fixture = new ConfigFixture()
  const { admission } = fixture.settings(['-c', fixture.keyPath, '-a', '[::1]:3340'])
  expect(admission).toMatchObject({ isOpen: true, verifyUrl: undefined, tailscaledSocket: undefined })
})

test('refuses clients while the URL is unreachable, unless -verify-client-url-fail-open is set', () => {
  using fixture = new ConfigFixture()
  const failOpen = (...args: string[]): boolean =>
    fixture.settings(['-c', fixture.keyPath, ...PUBLIC, ...args]).admission.verifyUrlFailOpen
  expect(failOpen(...URL_FLAG)).toBe(false)
  expect(failOpen(...URL_FLAG, '-verify-client-url-fail-open')).toBe(true)
  expect(failOpen('-open-relay', '-verify-client-url-fail-open')).toBe(false)
})

test("uses the host's tailscaled, and warns if its socket does not exist", () => {
  using fixture = new ConfigFixture()
  const args = ['-c', fixture.keyPath, ...PUBLIC, '-verify-clients']
  const told = (): string[] => fixture.settings(args).warnings.filter((text) => !text.includes('plain HTTP'))
  const before = fixture.settings(args)
  expect(before.admission.tailscaledSocket).toBe(fixture.host.tailscaledSocket)
  expect(told()).toEqual([
    `${fixture.host.tailscaledSocket}: this socket does not exist; no client is admitted until tailscaled runs`,
  ])
  fixture.folder.write('tailscaled.sock', '')
  expect(told()).toEqual([])
})

test('refuses -open-relay together with a check', () => {
  using fixture = new ConfigFixture()
  expect(fixture.problems(['-c', fixture.keyPath, ...PUBLIC, '-open-relay', ...URL_FLAG])).toEqual([
    '-open-relay: conflicts with -verify-client-url; expected either an open relay or a check of clients',
  ])
})

test('takes kicks from nobody, from relays with these keys, or from all siblings', () => {
  using fixture = new ConfigFixture()
  const key = `nodekey:${'ab'.repeat(32)}`
  const from = (...args: string[]): unknown =>
    fixture.settings(['-c', fixture.keyPath, ...PUBLIC, ...URL_FLAG, ...args]).admission.kicksFrom
  expect([from(), from('-kicks-from', key), from('-kicks-from', 'siblings')]).toEqual([[], [key], 'siblings'])
  const expected =
    'nodekey:<64 hex digits> of each relay, as derpfleet status prints it; or siblings alone, for all of them'
  for (const [given, wrong] of [
    [`${key},siblings`, 'siblings'],
    ['derp1.example.com', 'derp1.exampl'],
  ]) {
    expect(
      fixture.problems(['-c', fixture.keyPath, ...PUBLIC, ...URL_FLAG, '-kicks-from', given ?? '']),
    ).toEqual([`-kicks-from: invalid key "${wrong}"; expected ${expected}`])
  }
})

test('keeps tenants apart only with a list that says who is of which', () => {
  using fixture = new ConfigFixture()
  const expected = '-allow-keys-file FILE with lines of "allow KEY tenant NAME", or -lease-file FILE'
  expect(fixture.problems(['-c', fixture.keyPath, ...PUBLIC, ...URL_FLAG, '-isolate-tenants'])).toEqual([
    `-isolate-tenants: nothing says which tenant a client is of; expected ${expected}`,
  ])
  const list = fixture.folder.write('keys', '')
  const { admission } = fixture.settings([
    '-c',
    fixture.keyPath,
    ...PUBLIC,
    '-allow-keys-file',
    list,
    '-isolate-tenants',
  ])
  expect(admission.isolatesTenants).toBe(true)
})

test.each([
  ['-verify-client-url', 'ftp://alice:hunter2@headscale.example/verify'],
  ['-verify-client-url', 'https://alice:hun ter2@headscale.example:port/verify'],
  ['-verify-client-url', 'alice:hunter2@headscale.example'],
  ['-verify-client-url', 'https://headscale.example:99999/verify?token=hunter2'],
  ['-verify-client-url', 'https://headscale.example:hunter2'],
  ['-nats-url', 'nats://alice:hunter2@nats.example'],
  ['-home', 'https//alice:hunter2@home.example'],
  ['-a', 'https://alice:hunter2@headscale.example/verify'],
])('the problem with %s %s contains no secret', (flag, value) => {
  using fixture = new ConfigFixture()
  const file = fixture.folder.write('derpfleet.yaml', `${flag.slice(1)}: ${JSON.stringify(value)}\n`)
  const ways = [[flag, value], [value], ['-config', file]]
  for (const args of flag === '-a' ? ways.slice(0, 2) : ways) {
    const problems = fixture.problems(['-c', fixture.keyPath, ...args]).join('\n')
    expect(problems).toMatch(flag === '-a' ? /./ : /headscale|nats|home/)
    expect(problems).not.toMatch(/hun.?ter2|alice/)
  }
})

test.each([
  'HTTPS://headscale.example/verify',
  'http://[fe80::1%25eth0]:8080/verify',
  'http://headscale_web:6000/verify',
  'http://127.0.0.1',
])('accepts the URL %s, as derper does', (url) => {
  using fixture = new ConfigFixture()
  const { admission } = fixture.settings(['-c', fixture.keyPath, ...PUBLIC, '-verify-client-url', url])
  expect(admission.verifyUrl).toBe(url)
})
