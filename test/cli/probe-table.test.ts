// The table that a probe prints, on a terminal and elsewhere.

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Io } from '#cli/command.ts'
import { checkLines, plain } from '#cli/probe-table.ts'
import { probe } from '#cli/probe.ts'
import { checkOf, type CheckName, type Outcome } from '#probe/check.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { makeCertificate, type Certificate } from '../support/certificate.ts'
import { freePort, startRelay, type Relay } from '../support/process.ts'
import { derpfleet } from './program.ts'
import { OWN_RELAY } from '../probe/probe-program.ts'

const folder = new TemporaryFolder()
let certificate: Certificate
let relay: Relay

beforeAll(async () => {
  certificate = await makeCertificate(folder.path, 'localhost')
  relay = await startRelay({ ...OWN_RELAY, folder: folder.path })
})

afterAll(async () => {
  await relay[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

const target = (): readonly string[] => [
  `127.0.0.1:${relay.port}`,
  `sha256-raw:${certificate.sha256}`,
  '-stun-port',
  `${relay.stunPort}`,
]

test('prints one aligned line for each check, and a summary', async () => {
  const { code, stdout, stderr } = await derpfleet(['probe', ...target(), '-websocket=false'])
  expect([code, stderr]).toEqual([0, ''])
  const lines = stdout.split('\n')
  expect(lines[0]).toBe(`127.0.0.1:${relay.port}`)
  expect(lines).toContain('  ok    addresses                         127.0.0.1')
  expect(lines).toContain(`  skip  websocket                         disabled (-websocket=false)`)
  expect(stdout).toMatch(/^ {2}ok {4}tcp IPv4 {14,20}\d+\.\d ms {2}127\.0\.0\.1, port \d+$/m)
  expect(stdout).toMatch(/^ {2}ok {4}packet {16,22}\d+\.\d ms {2}10 × 1400 bytes and back, median$/m)
  expect(stdout).toMatch(/\n\n14 ok, 0 failed, 1 skipped in \d+\.\d s\n$/)
})

test('names the relays with a failed check', async () => {
  const port = await freePort()
  const { code, stdout } = await derpfleet(['probe', `127.0.0.1:${port}`, '-stun-port', '-1'])
  expect(code).toBe(1)
  expect(stdout).toMatch(/1 ok, 1 failed, \d+ skipped in \d+\.\d s; failing: 127\.0\.0\.1:\d+\n$/)
  expect(stdout.match(/no TCP connection/g)).toHaveLength(1)
})

test('aligns lines and hints, and joins consecutive checks that were skipped for one reason', () => {
  const check = (name: CheckName, outcome: Outcome<unknown>, family?: 4 | 6): ReturnType<typeof checkOf> =>
    checkOf(name, family, outcome)
  const lines = checkLines(
    [
      check('stun', { status: 'ok', value: 1, detail: 'sees 192.0.2.7:1', ms: 1_234.56 }, 4),
      check('stun', { status: 'skip', detail: 'no IPv6 address' }, 6),
      check('tls', { status: 'fail', detail: 'said\u001b[2J\nnonsense', hint: 'do this' }),
      check('ping', { status: 'skip', detail: 'no login' }),
      check('packet', { status: 'skip', detail: 'no login' }),
    ],
    plain,
  )
  expect(lines).toBe(
    `  ok    stun IPv4              1234.6 ms  sees 192.0.2.7:1
  skip  stun IPv6                         no IPv6 address
  FAIL  tls                               said [2J nonsense
        → do this
  skip  ping, packet: no login
`,
  )
})

test.each([
  ['in colours on a terminal', true, {}, true],
  ['without colours on a terminal if NO_COLOR is set', true, { NO_COLOR: '1' }, false],
  ['without colours on a terminal that has none', true, { TERM: 'dumb' }, false],
  ['without colours elsewhere', false, {}, false],
])('prints %s', async (_case, isTTY, env, isColourful) => {
  let printed = ''
  const stdout = { isTTY, write: (text: string) => (printed += text) }
  const io: Io = {
    stdout,
    stderr: stdout,
    env,
    signals: undefined,
    endAtOnce: () => {
      throw new Error('not expected in this test')
    },
  }
  const port = await freePort()
  expect(await probe.run([`127.0.0.1:${port}`, '-stun-port', '-1'], io)).toBe(1)
  expect(printed.includes('\u001b[1;31mFAIL\u001b[0m')).toBe(isColourful)
  expect(printed.includes('\u001b')).toBe(isColourful)
})

test("shows a map's relays in its order, each under its region", async () => {
  const node = { HostName: '127.0.0.1', DERPPort: relay.port, STUNPort: -1 }
  const regions = Object.fromEntries(
    [900, 901, 902, 903, 904, 905].map((id) => [
      id,
      { RegionCode: `r${id}`, Nodes: [{ Name: `${id}a`, ...node }] },
    ]),
  )
  const map = folder.write('six.json', JSON.stringify({ Regions: regions }))
  const { stdout } = await derpfleet(['probe', map, '-insecure', '-websocket=false'])
  expect(
    [...stdout.matchAll(/^region (\d+ \S+), (\S+) \(127.0.0.1:\d+\)$/gm)].map(([, code]) => code),
  ).toEqual([900, 901, 902, 903, 904, 905].map((id) => `${id} r${id}`))
})
