// Certificate files that are replaced while the program serves: in each of the ways of tools, on SIGHUP, and with files that
// must not be used. A client stays connected throughout.

import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:tls'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { DAY_MS, goodPair, makePair, type Pair } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import {
  asMountedSecret,
  byRename,
  bySymbolicLink,
  fingerprintOf,
  inPlace,
  presentedAt,
} from '../support/certificate-files.ts'
import { issueCertificate, makeAuthority } from '../support/certificate.ts'
import { waitUntil, type RunningProcess } from '../support/process.ts'
import { FREE_PORTS, startDerpfleet } from './program.ts'

/** What the documents promise. */
const SERVED_WITHIN_MS = 5_000
const SERVING = /"event":"relay_started".*"derp":"127.0.0.1:(\d+)".*"admin":"([^"]+)"/

let folder: TemporaryFolder
let relay: RunningProcess
let client: DerpClient
let port: number
let admin: string
let isClientGone = false

beforeAll(async () => {
  folder = new TemporaryFolder()
  byRename(folder.path, 'localhost', goodPair('localhost'))
  const identity = ['-hostname', 'localhost', '-certmode', 'manual', '-certdir', folder.path, '-threads', '2']
  relay = await startDerpfleet(['serve', '-c', folder.at('derper.key'), ...FREE_PORTS, ...identity], {
    readyWhen: SERVING,
  })
  const [, derpPort, adminEndpoint = ''] = SERVING.exec(relay.output) ?? []
  port = Number(derpPort)
  admin = adminEndpoint
  client = await DerpClient.connect({ host: '127.0.0.1', port, tls: { isInsecure: true }, key: newKeyPair() })
  client.on('closed', () => (isClientGone = true))
})
beforeEach(async () => {
  const pair = goodPair('localhost')
  byRename(folder.path, 'localhost', pair)
  await untilServed(pair)
})
afterAll(async () => {
  const wasGone = isClientGone
  await client?.close()
  await relay?.stop()
  folder?.[Symbol.dispose]()
  expect(wasGone).toBe(false)
})

async function readyz(): Promise<string> {
  return await (await fetch(`http://${admin}/readyz?verbose`)).text()
}

async function untilServed({ certificate }: Pair, withinMs = SERVED_WITHIN_MS): Promise<void> {
  const expected = fingerprintOf(certificate)
  // The relay has two threads, and the system chooses one for each connection.
  const isServed = async (): Promise<boolean> => {
    const presented = await Promise.all(Array.from({ length: 8 }, async () => await presentedAt(port)))
    return presented.every((fingerprint) => fingerprint === expected)
  }
  await waitUntil('the new certificate is served', isServed, withinMs)
}

function logged(event: string): Record<string, unknown>[] {
  return relay.output
    .split('\n')
    .filter((line) => line.includes(`"event":"${event}"`))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

it.each([
  ['renamed', byRename],
  ['written in place', inPlace],
])('files that are %s are served within five seconds', async (_way, replace) => {
  for (let i = 0; i < 3; i++) {
    const pair = goodPair('localhost')
    replace(folder.path, 'localhost', pair)
    await untilServed(pair)
    expect(logged('certificate_replaced').at(-1)).toMatchObject({
      source: 'self_signed',
      names: ['localhost'],
    })
  }
  await client.ping()
})

it('a key that follows seconds after its certificate is no failure', async () => {
  const refusals = logged('certificate_refused').length
  const pair = goodPair('localhost')
  writeFileSync(folder.at('localhost.crt'), pair.certificate)
  await sleep(3_000)
  expect(logged('certificate_refused')).toHaveLength(refusals)
  writeFileSync(folder.at('localhost.key'), pair.key)
  await untilServed(pair)
  expect(logged('certificate_refused')).toHaveLength(refusals)
})

it('SIGHUP looks at once, and reports without patience what cannot be used', async () => {
  writeFileSync(folder.at('localhost.crt'), goodPair('localhost').certificate)
  relay.signal('SIGHUP')
  await waitUntil(
    'it is reported',
    () => logged('certificate_refused').at(-1)?.['reason'] === 'mismatch',
    3_000,
  )
})

const nowMs = Date.now()
const bad: readonly [string, string, (folder: string) => void][] = [
  [
    'expired',
    'expired',
    (at) => byRename(at, 'localhost', makePair(['localhost'], nowMs - 9 * DAY_MS, nowMs - DAY_MS)),
  ],
  [
    'of next week',
    'not_yet_valid',
    (at) => byRename(at, 'localhost', makePair(['localhost'], nowMs + 7 * DAY_MS, nowMs + 9 * DAY_MS)),
  ],
  ['for another name', 'other_name', (at) => byRename(at, 'localhost', goodPair('other.example'))],
  [
    'half',
    'unreadable',
    (at) => writeFileSync(join(at, 'localhost.crt'), goodPair('localhost').certificate.slice(0, 300)),
  ],
  ['empty', 'unreadable', (at) => writeFileSync(join(at, 'localhost.key'), '')],
]
it.each(bad)('a certificate that is %s changes nothing, and says why once', async (_what, reason, break_) => {
  const before = await presentedAt(port)
  const refusals = logged('certificate_refused').length
  break_(folder.path)
  await waitUntil('it is reported', () => logged('certificate_refused').length > refusals, 20_000)
  await sleep(2_500)
  const lines = logged('certificate_refused').slice(refusals)
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatchObject({ reason, level: 'warn' })
  expect(String(lines[0]?.['problem'])).toContain(folder.path)
  expect(await presentedAt(port)).toBe(before)
  expect(await readyz()).toMatch(/^ready\n[^]*ok +certificate: .*the last renewal failed: /)
  const metrics = await (await fetch(`http://${admin}/metrics`)).text()
  expect(metrics).toContain('\nderp_certificate_last_renewal_successful 0\n')
  expect(metrics).toContain('\nderp_config_last_reload_successful{file="certdir"} 0\n')
  expect(metrics).toMatch(new RegExp(`\\nderp_certificate_failures_total\\{reason="${reason}"\\} [1-9]`))
})

it('a chain that was joined in the wrong order is served in order', async () => {
  const authority = await makeAuthority(folder.path, 'authority')
  const issued = await issueCertificate(folder.path, 'issued', authority, 'localhost')
  const [issuer, leaf, key] = [authority.certPath, issued.certPath, issued.keyPath].map((path) =>
    readFileSync(path, 'utf8'),
  )
  const pair = { certificate: `${leaf}`, key: `${key}` }
  byRename(folder.path, 'localhost', { certificate: `${issuer}${leaf}`, key: pair.key })
  await untilServed(pair)
  expect(logged('certificate_replaced').at(-1)).toMatchObject({ source: 'manual' })
  // As clients judge it, who know the authority alone.
  const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: issuer })
  await once(socket, 'secureConnect')
  expect(socket.authorized).toBe(true)
  socket.destroy()
})

it('a mounted secret whose link is exchanged is served within five seconds', async () => {
  asMountedSecret(folder.path, 'localhost')
  for (let i = 0; i < 3; i++) {
    const pair = goodPair('localhost')
    bySymbolicLink(folder.path, 'localhost', pair)
    await untilServed(pair)
  }
  await client.ping()
})
