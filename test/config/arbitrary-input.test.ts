import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { envNames, flagNames, type Option } from '#config/option.ts'
import { OPTIONS } from '#config/options.ts'
import { problemText } from '#fleet/problem.ts'
import { readSettings } from '#config/read-settings.ts'
import { resolveSettings } from '#config/resolve-settings.ts'
import { ConfigFixture } from './config-fixture.ts'

/** Must not appear in a problem. */
const SECRET = 'hunter2'

const entries = Object.entries<Option>(OPTIONS)
const flags = entries.flatMap(([word, option]) => flagNames(word, option))
const variables = entries.flatMap(([word, option]) => envNames(word, option))

const value = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constantFrom(
    '',
    '0',
    '-1',
    '1e9',
    'true',
    ':',
    ':0',
    '[::]:443',
    'localhost',
    '1,2',
    '/',
    '.',
    '/dev/null',
    '10m',
  ),
  fc.integer().map(String),
)

const argument = fc.oneof(
  fc.tuple(fc.constantFrom(...flags), value).map(([flag, text]) => `-${flag}=${text}`),
  fc.constantFrom(...flags).map((flag) => `--${flag}`),
  value,
)

const environment = fc.dictionary(
  fc.oneof(
    fc.constantFrom(...variables),
    fc.string().map((name) => `DERPFLEET_${name}`),
  ),
  value,
  { maxKeys: 4 },
)

test('every command line and environment gives settings or problems', () => {
  using fixture = new ConfigFixture()
  fc.assert(
    fc.property(fc.array(argument, { maxLength: 6 }), environment, (args, env) => {
      const raw = readSettings(args, env)
      const resolution = resolveSettings(raw, fixture.host)
      const problems = 'problems' in resolution ? resolution.problems.map(problemText) : ['none']
      expect(problems.length).toBeGreaterThan(0)
    }),
    { numRuns: 300 },
  )
})

test('every configuration file gives settings or problems', () => {
  using fixture = new ConfigFixture()
  const line = fc.oneof(
    fc
      .tuple(fc.constantFrom(...Object.keys(OPTIONS)), fc.oneof(value, fc.json()))
      .map(([word, text]) => `${word}: ${text}`),
    fc.constantFrom(
      'a: &a [*a]',
      '? [x]',
      '- x',
      '---',
      '...',
      '%YAML 9.9',
      '<<: {threads: 2}',
      '__proto__: x',
      '\t',
    ),
    value,
  )
  fc.assert(
    fc.property(fc.array(line, { maxLength: 6 }), (lines) => {
      const path = fixture.folder.write('relay.yaml', lines.join('\n'))
      const resolution = resolveSettings(readSettings(['-config', path], {}), fixture.host)
      const problems = 'problems' in resolution ? resolution.problems.map(problemText) : ['none']
      expect(problems.length).toBeGreaterThan(0)
    }),
    { numRuns: 300 },
  )
})

test('a file whose aliases multiply is a problem', () => {
  using fixture = new ConfigFixture()
  const layers = Array.from({ length: 12 }, (_, n) => `l${n + 1}: &l${n + 1} [${`*l${n},`.repeat(9)}]`)
  const path = fixture.folder.write('relay.yaml', ['l0: &l0 x', ...layers].join('\n'))
  expect(fixture.problems(['-config', path])[0]).toMatch(/relay\.yaml: .*[Ee]xcessive alias count/)
})

test('a path to an endless device is a problem', () => {
  using fixture = new ConfigFixture()
  for (const flag of [
    'config',
    'c',
    'mesh-psk-file',
    'regions-file',
    'rate-config',
    'nats-secret-file',
    'mesh-ca-file',
  ]) {
    const found = fixture.problems([`-${flag}`, '/dev/zero', '-nats-url', 'nats://localhost'])
    expect(found.join('\n')).toContain(`-${flag}: /dev/zero has more than 4194304 bytes`)
  }
})

test.each([
  [
    ['-verify-client-url', `htps://relay:${SECRET}@headscale.example/verify`],
    'htps://***@headscale.example/verify',
  ],
  [['-verify-client-url', `https:/relay:${SECRET}@headscale.example/verify`], 'https:/***@headscale.example'],
  [['-verify-client-url', `relay:${SECRET}@headscale.example`], '***@headscale.example'],
  [['-verify-client-url', `ftp://relay:a ${SECRET}@headscale.example`], 'ftp://***@headscale.example'],
  [['-verify-client-url', `ftp://h/@:${SECRET}@headscale.example`], 'ftp://***@headscale.example'],
  [['-verify-client-url', `htps://headscale.example/verify?token=${SECRET}`], 'headscale.example'],
  [
    ['-verify-client-url=', `https://relay:${SECRET}@headscale.example/verify`],
    'https://***@headscale.example',
  ],
  [['-nats-url', `nats://relay:${SECRET}@nats.example`], 'nats://***@nats.example'],
  [['-nats-url', `nats://a.example,tls://relay:${SECRET}@nats.example`], 'tls://***@nats.example'],
  [['-home', `ftp://relay:${SECRET}@www.example`], 'ftp://***@www.example'],
  [['-mesh-with', `relay:${SECRET}@derp.example`], '***@derp.example'],
  [['-mesh-psk-file', '5e'.repeat(32)], '*** does not exist'],
  [['-c', `privkey:${'5e'.repeat(32)}/x`], '***'],
  [['-nats-secret-file', '5e'.repeat(32), '-nats-url', 'nats://nats.example'], '*** does not exist'],
])('the problem with %j contains no secret', (args, shown) => {
  using fixture = new ConfigFixture()
  const text = fixture.problems(args).join('\n')
  expect(text).toContain(shown)
  expect(text).not.toContain(SECRET)
  expect(text).not.toContain('5e5e5e')
})

test('problems with the environment and the file contain no secrets', () => {
  using fixture = new ConfigFixture()
  const url = `htps://relay:${SECRET}@headscale.example/verify`
  const path = fixture.folder.write('relay.yaml', `home: ["${url}"]\nnats-url: ${url}\nlog-level: ${url}\n`)
  const env = {
    DERPFLEET_VERIFY_CLIENT_URL: url,
    DERPFLEET_KEY: SECRET,
    DERPFLEET_MESH_PSK: SECRET,
    DERPFLEET_CONFIG: path,
  }
  const text = fixture.problems(['-mesh-with', 'a.example'], env).join('\n')
  for (const where of [
    'DERPFLEET_VERIFY_CLIENT_URL',
    'DERPFLEET_KEY',
    'DERPFLEET_MESH_PSK',
    'log-level',
    'home',
    'nats-url',
  ]) {
    expect(text).toContain(where)
  }
  expect(text).not.toContain(SECRET)
})
