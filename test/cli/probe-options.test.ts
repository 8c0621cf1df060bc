import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { PROBE_OPTIONS, readProbeRequest, type ProbeSettings } from '#cli/probe-options.ts'
import { parseTarget } from '#probe/target.ts'
import { problemText } from '#fleet/problem.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { ALL_GOOD } from '../probe/probe-program.ts'
import { derpfleet } from './program.ts'

const PIN = `sha256-raw:${'5f'.repeat(32)}`

function settings(...args: readonly string[]): ProbeSettings {
  const request = readProbeRequest(args)
  if (request.kind !== 'probe') throw new Error(JSON.stringify(request))
  return request.settings
}

function complaints(...args: readonly string[]): readonly string[] {
  const request = readProbeRequest(args)
  return request.kind === 'misused' ? request.problems.map(problemText) : []
}

function relay(host: string, port: number, isPlain = false): object {
  return { kind: 'relay', host, port, isPlain }
}

test.each([
  ['relay.example', relay('relay.example', 443)],
  ['relay.example:8443', relay('relay.example', 8_443)],
  ['192.0.2.7:8443', relay('192.0.2.7', 8_443)],
  ['2001:db8::7', relay('2001:db8::7', 443)],
  ['[2001:db8::7]:8443', relay('2001:db8::7', 8_443)],
  ['https://relay.example', relay('relay.example', 443)],
  ['https://[2001:db8::7]:8443/derp', relay('2001:db8::7', 8_443)],
  ['http://127.0.0.1:3340', relay('127.0.0.1', 3_340, true)],
  ['http://relay.example/', relay('relay.example', 80, true)],
  ['https://relay.example/derpmap.json', { kind: 'map-url', url: 'https://relay.example/derpmap.json' }],
  ['https://relay.example/?v=1', { kind: 'map-url', url: 'https://relay.example/?v=1' }],
  ['map.json', { kind: 'map-file', path: 'map.json' }],
  ['derp.yaml', { kind: 'map-file', path: 'derp.yaml' }],
  ['./map', { kind: 'map-file', path: './map' }],
  ['file:///etc/derp%20map', { kind: 'map-file', path: '/etc/derp map' }],
])('%s is a target', (word, target) => {
  expect(parseTarget(word)).toEqual(target)
})

test.each([
  'relay.example:0',
  'relay.example:70000',
  'relay.example:',
  '[relay.example]:443',
  'a b',
  'https://',
  'https://me:secret@relay.example/',
  'file://elsewhere/map',
])('%s is none', (word) => {
  expect(parseTarget(word)).toBeUndefined()
})

test('takes the target and a pin wherever they stand', () => {
  const flags = { pin: PIN, timeoutMs: 2_000, stunPort: 3_479, usesWebSocket: false }
  const words = ['-timeout', '2s', '--stun-port=3479', '-websocket=false']
  for (const args of [
    ['127.0.0.1:8443', PIN, ...words],
    [...words, '127.0.0.1:8443', PIN],
    [...words, '-pin', PIN, '127.0.0.1:8443'],
    ['-timeout', '2s', '127.0.0.1:8443', ...words.slice(2), `-pin=${PIN}`],
  ]) {
    expect(settings(...args)).toMatchObject({ target: relay('127.0.0.1', 8_443), ...flags })
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

test('asks over the families that are wanted, and over that of an address alone', () => {
  expect(settings('relay.example', '-ipv6').families).toEqual([6])
  expect(settings('map.json', '-ipv4').families).toEqual([4])
  expect(settings('127.0.0.1').families).toEqual([4])
  expect(settings('::1', '-ipv6').families).toEqual([6])
})

test.each([
  [[], 'target: none is given'],
  [['a b'], 'target: "a b" is none; expected HOST'],
  [['a.example', 'b.example'], '"b.example": unexpected argument'],
  [['a.example', '-websocket', 'false'], 'unexpected argument; did you mean -websocket=false?'],
  [['a.example', '-timout', '5s'], '-timout: unknown flag; did you mean -timeout?'],
  [['a.example', '-timeout', '0'], '-timeout: invalid value "0"; expected a duration up to 10m'],
  [['a.example', '-timeout', '11m'], '-timeout: invalid value "11m"'],
  [['a.example', '-stun-port', '0'], '-stun-port: invalid value "0"; expected a port from 1 to 65535, or -1'],
  [['a.example', '-pin', PIN.toUpperCase()], 'expected sha256-raw: and 64 hex digits in lower case'],
  [['a.example', '-ipv4', '-ipv6'], '-ipv4: contradicts -ipv6'],
  [['127.0.0.1', '-ipv6'], '-ipv6: contradicts the target, an IPv4 address'],
  [['a.example', PIN, '-insecure'], '-pin: contradicts -insecure'],
  [['http://a.example', PIN], '-pin: has no certificate to be compared with'],
  [['map.json', PIN], '-pin: is for one relay'],
  [['a.example', '-region', 'lab'], '-region: is for a map'],
  [['a.example', '-ca', '/none'], '-ca: /none does not exist'],
  [['a.example', '-ca', import.meta.filename], 'contains no readable certificate'],
  [['a.example', '-mesh-psk-file', '/none'], '-mesh-psk-file: /none does not exist'],
])('does not understand %j', (args, complaint) => {
  expect(complaints(...args).join('\n')).toContain(complaint)
  expect(complaints(...args)).toHaveLength(1)
})

test('a mesh key is read, and is not shown when it is none', () => {
  using folder = new TemporaryFolder()
  const good = folder.write('good', `${'AB'.repeat(32)}\n`)
  expect(settings('a.example', '-mesh-psk-file', good).meshKey).toEqual(new Uint8Array(32).fill(0xab))
  const bad = folder.write('bad', 'secret')
  expect(complaints('a.example', '-mesh-psk-file', bad)).toEqual([
    `-mesh-psk-file: ${bad} holds 6 characters that are not a mesh key; expected 64 hex digits`,
  ])
  const zero = folder.write('zero', '00'.repeat(32))
  expect(complaints('a.example', '-mesh-psk-file', zero).join()).toContain('all-zero')
})

test('the program ends with 2 when it is misused, and explains itself', async () => {
  const { code, stdout, stderr } = await derpfleet(['probe'])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toMatch(
    /^derpfleet probe: nothing probed, one problem:\n {2}target: none is given; expected HOST/,
  )
  const help = await derpfleet(['probe', '-help'])
  expect([help.code, help.stderr]).toEqual([0, ''])
  expect(help.stdout).toMatch(/^usage: derpfleet probe TARGET.*\n\n.*\n\n {2}-pin TEXT\n/)
})

test('the documentation has every flag and every check', () => {
  const page = readFileSync(new URL('../../docs/probe.md', import.meta.url), 'utf8')
  const flags = Object.keys(PROBE_OPTIONS).filter((flag) => flag !== 'help')
  expect(flags.filter((flag) => !new RegExp(`^\\|.*\`-${flag}[ =\`]`, 'm').test(page))).toEqual([])
  const names = [...ALL_GOOD.map((title) => title.split(' ')[0] ?? ''), 'map', 'mesh']
  expect(names.filter((name) => !page.includes(`\n| \`${name}\` `))).toEqual([])
})
