// Where a relay listens if no host is configured, on kernels with IPv6, without it, and with IPv6 switched off. Each relay runs in
// a network namespace of its own, since it listens on all addresses.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { makeCertificate } from '../support/certificate.ts'
import { canMakeNetworks } from '../support/network.ts'
import { runOk, runProcess, startProcess } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'

const SOURCE = fileURLToPath(new URL('../support/no-ipv6.c', import.meta.url))

const hasNetworks = await canMakeNetworks()
const hasCompiler = await runProcess('cc', ['--version']).then(
  ({ code }) => code === 0,
  () => false,
)
const canRun = hasNetworks && hasCompiler
if (!canRun) {
  console.warn(`SKIPPED: kernels without IPv6 (${hasNetworks ? 'no C compiler' : 'no network namespaces'})`)
}

let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'addresses-'))
  await makeCertificate(folder, 'localhost')
  if (hasCompiler) await runOk('cc', ['-O2', '-o', join(folder, 'no-ipv6'), SOURCE])
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Connects to each port over IPv4, and prints for each whether that worked. */
const DIAL = `
  const ports = process.argv.slice(1).map(Number)
  Promise.all(ports.map((port) => new Promise((resolve) => {
    const socket = require('node:net').connect(port, '127.0.0.1')
    socket.on('connect', () => resolve('yes')).on('error', () => resolve('no'))
  }))).then((answers) => { console.log(answers.join(' ')); process.exit() })`

/**
 * Starts a relay in a network namespace of its own, which `prepare` has changed. Returns where it listens, and which of these
 * ports can be reached over IPv4.
 */
async function listeners(prepare: string, host: string, launcher = ''): Promise<Record<string, string>> {
  const flags =
    `-c ${folder}/key -certdir ${folder} -certmode manual -hostname localhost ` +
    `-a ${host}:2443 -http-port 2080 -stun-port 2478 -admin ${host}:2090 -threads 2 -open-relay -log-format json`
  const script = `ip link set lo up; ${prepare}; exec ${launcher} "$0" serve ${flags}`
  await using relay = await startProcess('unshare', ['-n', 'sh', '-c', script, PROGRAM], {
    readyWhen: /"relay_started".*\n/,
  })
  expect(relay.output).toContain('"relay_ready"') // so STUN has answered the relay's own request
  const line = relay.output.split('\n').find((text) => text.includes('"relay_started"')) ?? '{}'
  const { derp, http, stun, admin } = JSON.parse(line) as Record<string, string>
  const inside = [`--net=/proc/${relay.pid}/ns/net`, process.execPath, '-e', DIAL]
  const { stdout } = await runProcess('nsenter', [...inside, '2443', '2080', '2090'])
  return { derp, http, stun, admin, reached: stdout.trim() } as Record<string, string>
}

const on = (host: string, reached = 'yes yes yes') => ({
  derp: `${host}:2443`,
  http: `${host}:2080`,
  stun: `${host}:2478`,
  admin: `${host}:2090`,
  reached,
})

/** Each test starts a relay or two, on a machine that may be busy. */
const TIMEOUT_MS = 90_000

it.skipIf(!canRun).each([
  ['a machine with both families', 'true', false, '[::]'],
  ['a kernel without IPv6', 'true', true, '0.0.0.0'],
  ['a machine with IPv6 switched off', 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6', false, '[::]'],
] as const)(
  'without a host the relay listens on every address of %s',
  async (_what, prepare, isWithoutIpv6, wildcard) => {
    expect(await listeners(prepare, '', isWithoutIpv6 ? `${folder}/no-ipv6` : '')).toEqual(on(wildcard))
  },
  TIMEOUT_MS,
)

it.skipIf(!canRun)(
  'with a host the relay listens on that host, or refuses to start',
  async () => {
    expect(await listeners('true', '0.0.0.0')).toEqual(on('0.0.0.0'))
    await expect(listeners('true', '[::]', `${folder}/no-ipv6`)).rejects.toThrow(
      /\[::\]:2443 needs an address family that this kernel does not support/,
    )
  },
  TIMEOUT_MS,
)
