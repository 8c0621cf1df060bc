import { expect, test } from 'vitest'
import { problemText } from '#fleet/problem.ts'
import { readSettings } from '#config/read-settings.ts'
import { TemporaryFolder } from './temporary-folder.ts'

test('the precedence is flag, environment, file, preset, default', () => {
  using folder = new TemporaryFolder()
  const keys = ['listen', 'hostname', 'certdir', 'home', 'log-level'] as const
  const config = folder.write('relay.yaml', 'listen: ":1"\nhostname: file\ncertdir: file\n')
  const { values, problems } = readSettings(
    ['-config', config, '-a', ':3'],
    { DERP_ADDR: ':2', DERP_DOMAIN: 'env' },
    { listen: ':0', hostname: 'preset', certdir: 'preset', home: 'blank' },
  )
  expect(problems).toEqual([])
  expect(keys.map((key) => [values.get(key), values.source(key)])).toEqual([
    [{ host: '', port: 3 }, 'flag'],
    ['env', 'env'],
    ['file', 'file'],
    ['blank', 'preset'],
    ['info', undefined],
  ])
})

test('finds the file by its environment variable, too', () => {
  using folder = new TemporaryFolder()
  const config = folder.write('relay.yaml', 'threads: 3\n')
  expect(readSettings([], { DERPFLEET_CONFIG: config }).values.get('threads')).toBe(3)
})

test('an empty flag restores the default over a source of lower rank', () => {
  const raw = readSettings(['-verify-client-url='], { DERP_VERIFY_CLIENT_URL: 'http://127.0.0.1/verify' })
  expect([raw.values.get('verify-client-url'), raw.values.source('verify-client-url')]).toEqual([
    undefined,
    'flag',
  ])
  expect(raw.problems).toEqual([])
})

test('collects the problems of all sources, and uses defaults instead', () => {
  using folder = new TemporaryFolder()
  const config = folder.write('relay.yaml', 'log-level: loud\n\noutbox-bytes: 1\n')
  const raw = readSettings(['-config', config, '-threads', '0', '-xyzzy'], {
    DERP_STUN_PORT: 'x',
    DERPFLEET_TCP_USER_TIMEOUT: '15',
  })
  expect(raw.problems.map(problemText).toSorted()).toEqual(
    [
      '-xyzzy: unknown flag',
      '-threads: invalid value "0"; expected a whole number from 1 to 256',
      `${config}:1: log-level: invalid value "loud"; expected debug, info, warn or error`,
      `${config}:3: outbox-bytes: invalid value 1; expected a number of bytes of 131072 or more, such as 262144, 512KiB or 1MiB`,
      'DERPFLEET_TCP_USER_TIMEOUT: invalid value "15"; expected a duration such as 10m, 15s or 500ms, or 0 for none',
      'DERP_STUN_PORT: invalid value "x"; expected a port from 0 to 65535',
    ].toSorted(),
  )
  expect(raw.values.get('stun-port')).toBe(3478)
})

test('names the option of a file that cannot be read', () => {
  using folder = new TemporaryFolder()
  expect(problemOf(folder.at('none.yaml'))).toEqual([
    `-config: ${folder.at('none.yaml')} does not exist; expected a YAML file`,
  ])
  expect(problemOf(folder.path)).toEqual([`-config: ${folder.path} is a folder; expected a YAML file`])
})

function problemOf(path: string): string[] {
  return readSettings(['-config', path], {}).problems.map(problemText)
}
