// What a reload changes in a relay that serves, seen by its clients. The relay is a process, and its settings are in a file.

import { execFileSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { derpfleet, FREE_PORTS, startDerpfleet } from '../cli/program.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { issueCertificate, makeAuthority } from '../support/certificate.ts'
import { freePort, startProcess, waitUntil } from '../support/process.ts'
import { ReloadingRelay } from '../support/reloading-relay.ts'
import { PROGRAM } from '../support/program-path.ts'

// Each test starts a process, or several, which mostly wait: the tests run side by side.
vi.setConfig({ testTimeout: 90_000 })

const SUCCESSFUL = 'derp_config_last_reload_successful{file="config"}'
const WAITS = 'derp_rate_limit_waits_total'

// First, because it takes the longest.
test.concurrent('-rebalance takes effect at a reload, and ends at another one', async () => {
  using folder = new TemporaryFolder()
  await issueCertificate(folder.path, 'localhost', await makeAuthority(folder.path, 'authority'))
  const ports = [await freePort(), await freePort()]
  const regions = ports.map(
    (port, i) =>
      `  90${i}: { code: r${i}, nodes: [{ name: 90${i}a, hostname: localhost, derpport: ${port}, mesh: 127.0.0.1 }] }\n`,
  )
  folder.write('regions.yaml', `regions:\n${regions.join('')}`)
  folder.write('psk', 'ab'.repeat(32))
  const identity = ['-hostname', 'localhost', '-certmode', 'manual', '-certdir', folder.path]
  const fleet = ['-regions-file', folder.at('regions.yaml'), '-mesh-psk-file', folder.at('psk')]
  const both = [...identity, ...fleet, '-mesh-ca-file', folder.at('authority.crt')]
  const [first, second] = ports.map((port, i) => [...both, '-a', `127.0.0.1:${port}`, '-node', `90${i}a`])
  await using relay = await ReloadingRelay.start('', ...(first ?? []))
  await using _other = await ReloadingRelay.start('', ...(second ?? []))
  const target = {
    host: 'localhost',
    dialAddress: '127.0.0.1',
    port: ports[0] ?? 0,
    tls: { isInsecure: true },
  }
  const away = Array.from({ length: 30 }, async () => await relay.client({ ...target, idealNode: '901a' }))
  const clients = await Promise.all(away)
  const closed = (): number => clients.filter(({ isConnected }) => !isConnected).length
  await waitUntil('the relays are meshed', async () =>
    /^derp_sibling_up\{.* 1$/m.test(await relay.page('/metrics')),
  )
  // A sibling must have been up for ten seconds before clients are sent to it.
  await sleep(12_000)
  expect(closed()).toBe(0)
  expect((await relay.reload('rebalance: 5\n')).stdout).toContain('-rebalance: the default (0), now "5"')
  await waitUntil('clients are sent back', () => closed() >= 5, 20_000)
  expect((await relay.reload('rebalance: 0\n')).stdout).toContain('-rebalance: "5", now "0"')
  const before = closed()
  await sleep(3_000)
  expect(closed() - before).toBeLessThanOrEqual(5)
  expect(closed()).toBeLessThan(clients.length)
})

test.concurrent('limits change for clients that are connected, and for new ones', async () => {
  await using relay = await ReloadingRelay.start('tcp-write-timeout: 5s\n')
  const key = newKeyPair()
  const [alice, bob] = [await relay.client(), await relay.client({ key })]
  /** Sends 240,000 bytes and returns how often the sender was held back for its rate. */
  const waits = async (): Promise<number> => {
    const before = (await relay.metric(WAITS)) ?? 0
    const count = 12
    let received = 0
    const all = new Promise<void>((resolve) => {
      const off = bob.on('packet', () => {
        if (++received < count) return
        off()
        resolve()
      })
    })
    for (let sent = 0; sent < count; sent++) alice.send(key.publicKey, new Uint8Array(20_000))
    await all
    return ((await relay.metric(WAITS)) ?? 0) - before
  }
  expect(await waits()).toBe(0)
  const path = relay.folder.write(
    'rate.json',
    '{"PerClientRateLimitBytesPerSec": 50000, "PerClientRateBurstBytes": 70000}',
  )
  const { code, stdout } = await relay.reload(`rate-config: ${path}\noutbox-bytes: 1MiB\n`)
  expect([code, stdout]).toEqual([
    0,
    expect.stringContaining('-outbox-bytes: the default (512KiB), now "1MiB"'),
  ])
  expect(await waits()).toBeGreaterThan(0)
  expect(await relay.metric('derp_rate_limit_bytes_per_second')).toBe(50_000)
  expect(await relay.metric('derp_send_queue_limit_bytes')).toBe(1_048_576)
  await relay.reload('')
  // What the last packet owes is waited for.
  await sleep(1_500)
  expect(await waits()).toBe(0)
})

test.concurrent('a client that is held back at a low rate is read at once when the rate is raised', async () => {
  await using relay = await ReloadingRelay.start('')
  const path = relay.folder.write(
    'rate.json',
    '{"PerClientRateLimitBytesPerSec": 1000, "PerClientRateBurstBytes": 70000}',
  )
  await relay.reload(`rate-config: ${path}\n`)
  const key = newKeyPair()
  const [alice, bob] = [await relay.client(), await relay.client({ key })]
  let received = 0
  bob.on('packet', () => received++)
  for (let sent = 0; sent < 12; sent++) alice.send(key.publicKey, new Uint8Array(20_000))
  await waitUntil('alice is held back', async () => ((await relay.metric(WAITS)) ?? 0) > 0)
  await sleep(500)
  expect(received).toBeLessThan(6)
  // At the old rate, the rest would take three minutes, and the next packet twenty seconds.
  await relay.reload('')
  await waitUntil('all is delivered', () => received === 12, 10_000)
})

test.concurrent('the content of the rate file is watched', async () => {
  await using relay = await ReloadingRelay.start('')
  const path = relay.folder.write('rate.json', '{"PerClientRateLimitBytesPerSec": 50000}')
  await relay.reload(`rate-config: ${path}\n`)
  writeFileSync(path, '{"PerClientRateLimitBytesPerSec": 60000}')
  await waitUntil(
    'the new rate is in use',
    async () => (await relay.metric('derp_rate_limit_bytes_per_second')) === 60_000,
    10_000,
  )
  expect(relay.logged('relay_reloaded').at(-1)).toMatchObject({
    changed: ['-rate-config: the file has other content'],
  })
})

test.concurrent('keepalives come at the new interval', async () => {
  await using relay = await ReloadingRelay.start('')
  const client = await relay.client()
  await relay.reload('keepalive: 5s\n')
  await client.next('keepAlive')
})

test.concurrent('new connections are limited at the new rate', async () => {
  await using relay = await ReloadingRelay.start(
    'accept-connection-limit: 0.001\naccept-connection-burst: 3\n',
  )
  const accepts = async (): Promise<number> => {
    const all = await Promise.all(Array.from({ length: 10 }, async () => await relay.isAdmitted()))
    return all.filter(Boolean).length
  }
  expect(await accepts()).toBe(3)
  await relay.reload('accept-connection-limit: 0.001\naccept-connection-burst: 5\n')
  expect(await accepts()).toBe(5)
  await relay.reload('')
  expect(await accepts()).toBe(10)
})

test.concurrent('applications are refused, and admitted again', async () => {
  await using relay = await ReloadingRelay.start('disallow-app-names: [other]\n')
  const app = { appName: 'forbidden' }
  expect(await relay.isAdmitted(app)).toBe(true)
  await relay.reload('disallow-app-names: [forbidden]\n')
  expect(await relay.isAdmitted(app)).toBe(false)
  expect(await relay.isAdmitted()).toBe(true)
  await relay.reload('')
  expect(await relay.isAdmitted(app)).toBe(true)
})

test.concurrent('a reload is answered when every thread uses it', async () => {
  await using relay = await ReloadingRelay.start('')
  const request = relay.folder.write('pause-relay', '')
  await waitUntil('a thread pauses', () => !existsSync(request))
  const startedAt = performance.now()
  const { code } = await relay.reload('disallow-app-names: [forbidden]\n')
  expect(code).toBe(0)
  // The pause lasts two seconds, of which the first may be over.
  expect(performance.now() - startedAt).toBeGreaterThan(1_000)
  expect(await relay.isAdmitted({ appName: 'forbidden' })).toBe(false)
})

test.concurrent('the verifier changes: none, one, another one, none', async ({ onTestFinished }) => {
  const verifier = async (isAllowed: boolean): Promise<string> => {
    const server = createServer((_, response) => response.end(JSON.stringify({ Allow: isAllowed })))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    onTestFinished(() => void server.close())
    return `verify-client-url: http://127.0.0.1:${(server.address() as AddressInfo).port}/\n`
  }
  const [allows, denies] = [await verifier(true), await verifier(false)]
  await using relay = await ReloadingRelay.start('')
  const checks = async (): Promise<unknown> =>
    ((await (await relay.get('/readyz?verbose', 'admin')).text()).match(/^\S+ +admission/m) ?? [])[0]
  expect([await relay.isAdmitted(), await checks()]).toEqual([true, undefined])
  await relay.reload(denies)
  expect([await relay.isAdmitted(), await checks()]).toEqual([false, 'ok   admission'])
  await relay.reload(allows)
  expect(await relay.isAdmitted()).toBe(true)
  await relay.reload('verify-client-url: http://127.0.0.1:1/\n')
  expect(await relay.isAdmitted()).toBe(false)
  await relay.reload('verify-client-url: http://127.0.0.1:1/\nverify-client-url-fail-open: true\n')
  expect(await relay.isAdmitted()).toBe(true)
  await relay.reload('')
  expect([await relay.isAdmitted(), await checks()]).toEqual([true, undefined])
})

test.concurrent('the home page, the log level and the bootstrap DNS names change', async () => {
  await using relay = await ReloadingRelay.start('')
  expect(await (await relay.get('/')).text()).toContain('DERP')
  await relay.reload('home: https://example.com/\nlog-level: debug\nbootstrap-dns-names: [localhost]\n')
  expect((await relay.get('/')).headers.get('location')).toBe('https://example.com/')
  await relay.client()
  await waitUntil('logins are logged', () => relay.logged('session_started').length > 0)
  await relay.reload('home: blank\nlog-level: info\n')
  expect(await (await relay.get('/')).text()).toBe('')
  await waitUntil(
    'no name is published',
    async () => (await (await relay.get('/bootstrap-dns')).text()) === '',
  )
})

test.concurrent('the level that SIGUSR2 has set stays, unless the setting changes', async () => {
  await using relay = await ReloadingRelay.start('log-level: info\n')
  relay.process.signal('SIGUSR2')
  await waitUntil('the level is debug', () => relay.logged('log_level_changed').length === 1)
  await relay.reload('log-level: info\nkeepalive: 20s\n')
  await relay.client()
  await waitUntil('logins are logged', () => relay.logged('session_started').length > 0)
})

test.concurrent('an invalid configuration changes nothing, and tells every problem, metric and log', async () => {
  await using relay = await ReloadingRelay.start('disallow-app-names: [forbidden]\n')
  const acceptedAt = await relay.metric('derp_config_last_reload_success_timestamp_seconds{file="config"}')
  expect(acceptedAt).toBeGreaterThan(1_700_000_000)
  expect(await relay.metric(SUCCESSFUL)).toBe(1)
  const { code, stdout, stderr } = await relay.reload('keepalive: 1s\nlog-level: debug\nhom: blank\n')
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(
    /^derpfleet reload: refused; what was in use stays in use\n {2}\S+relay\.yaml:\d: \S+ [^]*\n {2}\S+relay\.yaml:\d: /,
  )
  const [rejected] = relay.logged('config_rejected')
  expect(rejected).toMatchObject({ level: 'warn', path: relay.folder.at('relay.yaml') })
  expect(rejected?.problems).toHaveLength(2)
  expect(await relay.metric(SUCCESSFUL)).toBe(0)
  expect(await relay.isAdmitted({ appName: 'forbidden' })).toBe(false)
  expect(relay.logged('session_started')).toEqual([])
  await relay.reload('')
  expect(await relay.metric(SUCCESSFUL)).toBe(1)
  expect(relay.logged('file_usable_again')).toHaveLength(1)
  expect(await relay.isAdmitted({ appName: 'forbidden' })).toBe(true)
})

test.concurrent('what needs a restart is named with old and new value', async () => {
  await using relay = await ReloadingRelay.start('')
  const { code, stdout } = await relay.reload(
    'hostname: new.example\ntls-max-version: 1.2\nlog-level: warn\n',
  )
  expect(code).toBe(0)
  expect(stdout).toContain('needs a restart:\n  -hostname: ')
  expect(relay.logged('restart_needed')).toMatchObject([
    {
      level: 'warn',
      message: expect.stringMatching(
        /^needs a restart: -hostname: .*, now "new\.example"; -tls-max-version: /,
      ),
    },
  ])
})

test.concurrent('the configuration file is watched, and read once it has settled', async () => {
  await using relay = await ReloadingRelay.start('disallow-app-names: [forbidden]\n')
  await sleep(2_500)
  relay.write('')
  await waitUntil(
    'the change is in use',
    async () => await relay.isAdmitted({ appName: 'forbidden' }),
    10_000,
  )
  await waitUntil('the change is logged', () => relay.logged('relay_reloaded').length === 1, 10_000)
  expect(relay.logged('relay_reloaded')).toMatchObject([
    { changed: [expect.stringContaining('-disallow-app-names')] },
  ])
  relay.write('home: [\n')
  await waitUntil('the problem is logged', () => relay.logged('config_rejected').length === 1, 10_000)
})

describe('SIGHUP', () => {
  test.concurrent('a storm of them ends nothing, and the last configuration is in use', async () => {
    await using relay = await ReloadingRelay.start('')
    const key = newKeyPair()
    const client = await relay.client({ key })
    for (let round = 0; round < 200; round++) {
      relay.write(`outbox-packets: ${round + 1}\n`)
      relay.process.signal('SIGHUP')
      await sleep(5)
    }
    await waitUntil(
      'the last configuration is in use',
      async () => (await relay.metric('derp_send_queue_limit_packets')) === 200,
      15_000,
    )
    client.send(key.publicKey, new Uint8Array(10))
    await client.next('packet')
    expect(relay.process.exit).toBeUndefined()
  })

  test.concurrent('under nohup it reloads', async () => {
    using folder = new TemporaryFolder()
    const args = [PROGRAM, 'serve', '-c', folder.at('derper.key'), ...FREE_PORTS]
    await using relay = await startProcess('nohup', args, { readyWhen: /"event":"relay_started"/ })
    relay.signal('SIGHUP')
    await waitUntil('the relay has reloaded', () => relay.output.includes('"event":"relay_reloaded"'))
    expect(await relay.stop()).toEqual({ code: 0, signal: null })
  })

  test.concurrent('during the start and during the stop it ends nothing', async () => {
    using folder = new TemporaryFolder()
    const args = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS]
    const starting = await startDerpfleet(args, { readyWhen: () => true })
    // From the first moment in which main.ts listens to signals: Node itself takes a few tenths of a second.
    const isListening = (): boolean => {
      const status = execFileSync('cat', [`/proc/${starting.pid}/status`], { encoding: 'utf8' })
      return (Number.parseInt(/^SigCgt:\s+(\w+)/m.exec(status)?.[1]?.slice(-8) ?? '0', 16) & 1) === 1
    }
    await waitUntil('signals are handled', isListening)
    for (let round = 0; round < 20; round++) {
      starting.signal('SIGHUP')
      await sleep(20)
    }
    await waitUntil('the relay serves', () => starting.output.includes('"event":"relay_ready"'))
    // One reload for all of them: the configuration may have changed after the start had read it.
    await waitUntil('the relay has reloaded', () => starting.output.includes('"event":"relay_reloaded"'))
    starting.signal('SIGTERM')
    starting.signal('SIGHUP')
    starting.signal('SIGHUP')
    expect(await starting.exited).toEqual({ code: 0, signal: null })
  })
})

test.concurrent('reloads by several commands at once all succeed', async () => {
  await using relay = await ReloadingRelay.start('')
  relay.write('outbox-packets: 7\n')
  const results = await Promise.all(
    Array.from({ length: 10 }, async () => await derpfleet(['reload'], relay.env)),
  )
  expect(results.map(({ code }) => code)).toEqual(results.map(() => 0))
  expect(await relay.metric('derp_send_queue_limit_packets')).toBe(7)
})
