import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { PROBE_OPTIONS, readProbeArguments } from '#cli/probe-options.ts'
import { problemText } from '#fleet/problem.ts'
import type { ProbeRequest } from '#probe/probe.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { ALL_CHECKS } from '../probe/probe-program.ts'
import { derpfleet } from './program.ts'

const PIN = `sha256-raw:${'5f'.repeat(32)}`

function requestOf(...args: readonly string[]): ProbeRequest {
  const read = readProbeArguments(args)
  if (read.kind !== 'probe') throw new Error(JSON.stringify(read))
  return read.request
}

function settings(...args: readonly string[]): ProbeRequest['settings'] {
  return requestOf(...args).settings
}

function problems(...args: readonly string[]): readonly string[] {
  const read = readProbeArguments(args)
  return read.kind === 'misused' ? read.problems.map(problemText) : []
}

function relay(host: string, port: number, isPlain = false): object {
  return { kind: 'relay', host, port, isPlain }
}

test('accepts the target and a pin in any position', () => {
  const expected = { pin: PIN, timeoutMs: 2_000, stunPort: 3_479, usesWebSocket: false }
  const flags = ['-timeout', '2s', '--stun-port=3479', '-websocket=false']
  for (const args of [
    ['127.0.0.1:8443', PIN, ...flags],
    [...flags, '127.0.0.1:8443', PIN],
    [...flags, '-pin', PIN, '127.0.0.1:8443'],
    ['-timeout', '2s', '127.0.0.1:8443', ...flags.slice(2), `-pin=${PIN}`],
  ]) {
    const target = relay('127.0.0.1', 8_443)
    expect(requestOf(...args)).toMatchObject({ target, settings: expected })
  }
})

test('has defaults', () => {
  const { timeoutMs, families, stunPort, httpPort, usesWebSocket } = settings('relay.example')
  expect({ timeoutMs, families, stunPort, httpPort, usesWebSocket }).toEqual({
    timeoutMs: 5_000,
    families: [4, 6],
    stunPort: undefined,
    httpPort: undefined,
    usesWebSocket: true,
  })
})

test('probes the families that are asked for, and that of a target that is an address', () => {
  expect(settings('relay.example', '-ipv6').families).toEqual([6])
  expect(settings('map.json', '-ipv4').families).toEqual([4])
  expect(settings('127.0.0.1').families).toEqual([4])
  expect(settings('::1', '-ipv6').families).toEqual([6])
})

test.each([
  [[], 'target: missing; expected HOST'],
  [['a b'], 'target: invalid value "a b"; expected HOST'],
  [['a.example', 'b.example'], '"b.example": unexpected argument'],
  [['a.example', '-websocket', 'false'], 'unexpected argument; did you mean -websocket=false?'],
  [['a.example', '-timout', '5s'], '-timout: unknown flag; did you mean -timeout?'],
  [['a.example', '-timeout', '0'], '-timeout: invalid value "0"; expected a duration up to 10m'],
  [['a.example', '-timeout', '11m'], '-timeout: invalid value "11m"'],
  [['a.example', '-stun-port', '0'], '-stun-port: invalid value "0"; expected a port from 1 to 65535, or -1'],
  [['a.example', '-pin', PIN.toUpperCase()], 'expected sha256-raw: and 64 lower-case hex digits'],
  [['a.example', '-ipv4', '-ipv6'], '-ipv4: conflicts with -ipv6'],
  [['127.0.0.1', '-ipv6'], '-ipv6: conflicts with the target, which is an IPv4 address'],
  [['a.example', PIN, '-insecure'], '-pin: conflicts with -insecure'],
  [['http://a.example', PIN], '-pin: conflicts with the http:// target'],
  [['map.json', PIN], '-pin: has no effect with a map'],
  [['a.example', '-region', 'lab'], '-region: has no effect with a single relay'],
  [['a.example', '-ca', '/none'], '-ca: /none does not exist'],
  [['a.example', '-ca', import.meta.filename], 'probe-options.test.ts contains no certificate'],
  [['a.example', '-mesh-psk-file', '/none'], '-mesh-psk-file: /none does not exist'],
])('reports %j as invalid', (args, problem) => {
  expect(problems(...args).join('\n')).toContain(problem)
  expect(problems(...args)).toHaveLength(1)
})

test('reads a mesh key, and does not show an invalid one', () => {
  using folder = new TemporaryFolder()
  const good = folder.write('good', `${'AB'.repeat(32)}\n`)
  expect(settings('a.example', '-mesh-psk-file', good).meshKey).toEqual(new Uint8Array(32).fill(0xab))
  const bad = folder.write('bad', 'secret')
  expect(problems('a.example', '-mesh-psk-file', bad)).toEqual([
    `-mesh-psk-file: ${bad} holds 6 characters that are not a mesh key; expected 64 hex digits`,
  ])
  const zero = folder.write('zero', '00'.repeat(32))
  expect(problems('a.example', '-mesh-psk-file', zero).join()).toContain('all-zero')
})

test('an invalid command line ends with exit code 2 and an explanation; -help prints the options', async () => {
  const { code, stdout, stderr } = await derpfleet(['probe'])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(/^derpfleet probe: nothing probed, one problem:\n {2}target: missing; expected HOST/)
  const help = await derpfleet(['probe', '-help'])
  expect([help.code, help.stderr]).toEqual([0, ''])
  expect(help.stdout).toMatch(/^usage: derpfleet probe TARGET.*\n\n.*\n\n {2}-pin PIN\n/)
})

test('the documentation lists every flag and every check', () => {
  const page = readFileSync(new URL('../../docs/probe.md', import.meta.url), 'utf8')
  const flags = Object.keys(PROBE_OPTIONS).filter((flag) => flag !== 'help')
  expect(flags.filter((flag) => !new RegExp(`^\\|.*\`-${flag}[ =\`]`, 'm').test(page))).toEqual([])
  const names = [...ALL_CHECKS.map((title) => title.split(' ')[0] ?? ''), 'map', 'mesh']
  expect(names.filter((name) => !page.includes(`\n| \`${name}\` `))).toEqual([])
})
