// A relay that fails to get a certificate, and is restarted or crashes again and again: the authority is asked no more often than
// by a relay that keeps running. Real processes that are killed, and a real ACME server.

import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { AcmeProxy, at, problem } from '../support/acme-proxy.ts'
import { AcmeRelay } from '../support/acme-relay.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Pebble } from '../support/pebble.ts'
import { freePort, waitUntil } from '../support/process.ts'

const TIMEOUT_MS = 120_000
const NAME = 'relay.example'
const RECORD = `${NAME}+attempts`

const found = await foreignPrograms('pebble', 'pebble-challtestsrv')

describe.skipIf('missing' in found)('an order that fails before a restart', { timeout: TIMEOUT_MS }, () => {
  const folder = new TemporaryFolder()
  let ports: { tls: number; http: number }
  let pebble: Pebble
  let proxy: AcmeProxy
  let certificates: TemporaryFolder

  beforeAll(async () => {
    if ('missing' in found) return
    ports = { tls: await freePort(), http: await freePort() }
    const validated = { httpPort: ports.http, tlsPort: ports.tls }
    pebble = await Pebble.start({ programs: found.paths, folder: folder.path, ...validated })
    const keyPath = folder.at('127.0.0.1.key')
    proxy = await AcmeProxy.start(pebble.directoryUrl, { certPath: pebble.authorityPath, keyPath })
  }, TIMEOUT_MS)

  afterAll(async () => {
    await proxy?.[Symbol.asyncDispose]()
    await pebble?.[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  beforeEach(() => {
    certificates = new TemporaryFolder()
    proxy.fault = undefined
    proxy.requests.length = 0
  })

  afterEach(() => certificates[Symbol.dispose]())

  async function startRelay(key = 'derper.key'): Promise<AcmeRelay> {
    return await AcmeRelay.start({
      hostname: NAME,
      folder: certificates.path,
      keyPath: folder.at(key),
      directoryUrl: proxy.directoryUrl,
      authorityPath: pebble.authorityPath,
      port: ports.tls,
      httpPort: ports.http,
      args: ['-acme-challenge', 'http-01'],
    })
  }

  const orders = (): number => proxy.requests.filter((one) => one.startsWith('POST /order')).length
  const record = (): Record<string, unknown> => JSON.parse(readFileSync(certificates.at(RECORD), 'utf8'))

  async function failed(relay: AcmeRelay): Promise<void> {
    await relay.waitForEvent('certificate_refused')
    await waitUntil('the failure is noted', () => record()['reason'] === 'acme_refused')
    // A lease that is left behind keeps others from ordering for minutes.
    await waitUntil('the order is over', () => !readdirSync(certificates.path).includes(`${NAME}+lease`))
  }

  async function crash(relay: AcmeRelay): Promise<void> {
    relay.process.signal('SIGKILL')
    await relay.process.exited
  }

  test('a crash loop orders once; a reload orders at once; a success forgets', async () => {
    proxy.fault = at('/order', problem(403, 'unauthorized'))
    const first = await startRelay()
    await failed(first)
    const ordered = orders()
    await crash(first)
    for (let round = 0; round < 3; round++) {
      const relay = await startRelay()
      const line = await relay.waitForEvent('certificate_refused')
      expect(line).toMatchObject({
        reason: 'acme_refused',
        problem: expect.stringContaining('test of unauthorized'),
      })
      expect(line['retryInMs']).toBeLessThan(150_000)
      expect(line['retryInMs']).toBeGreaterThan(60_000)
      await crash(relay)
    }
    expect(orders()).toBe(ordered)
    await using last = await startRelay()
    last.process.signal('SIGHUP')
    await waitUntil('the order is repeated', () => orders() > ordered)
    await waitUntil('the second failure is noted', () => record()['failureCount'] === 2)
    proxy.fault = undefined
    last.process.signal('SIGHUP')
    await last.certificate()
    await waitUntil('the failures are forgotten', () => !readdirSync(certificates.path).includes(RECORD))
  })

  test('a relay that crashes in the middle of an order waits, one that is stopped there does not', async () => {
    proxy.fault = at('/order', () => false)
    const first = await startRelay()
    await waitUntil('the relay orders', () => orders() > 0)
    expect(await first.process.stop()).toEqual({ code: 0, signal: null })
    expect(readdirSync(certificates.path)).not.toContain(RECORD)
    const second = await startRelay()
    await waitUntil('the relay orders again', () => orders() > 1)
    const ordered = orders()
    await crash(second)
    await using third = await startRelay()
    const line = await third.waitForEvent('certificate_refused')
    expect(line).toMatchObject({
      reason: 'other',
      problem: expect.stringContaining('in the middle of an order'),
    })
    expect(orders()).toBe(ordered)
  })

  test('a relay that is killed in the middle of an order keeps neither itself nor others from ordering', async () => {
    proxy.fault = at('/order', () => false)
    const first = await startRelay()
    await waitUntil('the relay orders', () => orders() > 0)
    await crash(first)
    expect(readdirSync(certificates.path)).toContain(`${NAME}+lease`)
    // The same relay heeds its record, until an operator asks for an attempt.
    const again = await startRelay()
    await again.waitForEvent('certificate_refused')
    const ordered = orders()
    again.process.signal('SIGHUP')
    await waitUntil('the relay orders again', () => orders() > ordered)
    await crash(again)
    expect(readdirSync(certificates.path)).toContain(`${NAME}+lease`)
    // Another relay has no record, and waits for nothing.
    proxy.fault = undefined
    await using other = await startRelay('other.key')
    await other.certificate()
    await waitUntil(
      'the lease is given back',
      () => !readdirSync(certificates.path).includes(`${NAME}+lease`),
    )
  })

  test('a certificate that was issued and could not be stored is not ordered again at each start', async () => {
    // A folder in the place of its file.
    mkdirSync(certificates.at(NAME))
    const first = await startRelay()
    await first.certificate()
    await waitUntil('it is noted', () => readdirSync(certificates.path).includes(RECORD))
    await waitUntil('the failure is noted', () => record()['reason'] === 'store')
    const issued = pebble.issuedCount
    await crash(first)
    for (let round = 0; round < 2; round++) {
      const relay = await startRelay()
      await relay.waitForEvent('certificate_refused', 2)
      const line = relay.events('certificate_refused').at(-1)
      expect(line).toMatchObject({ problem: expect.stringContaining('could not be stored') })
      await crash(relay)
    }
    expect(pebble.issuedCount).toBe(issued)
    await using last = await startRelay()
    rmdirSync(certificates.at(NAME))
    last.process.signal('SIGHUP')
    await last.certificate()
    expect(pebble.issuedCount).toBe(issued + 1)
    await waitUntil('the failure is forgotten', () => !readdirSync(certificates.path).includes(RECORD))
  })

  test('a failure in the future, by a clock that was wrong, delays the order by no more than its wait', async () => {
    proxy.fault = at('/order', problem(403, 'unauthorized'))
    const first = await startRelay()
    await failed(first)
    await crash(first)
    proxy.fault = undefined
    const ordered = orders()
    const future = { ...record(), at: '2099-01-01T00:00:00.000Z', waitMs: 6_000 }
    writeFileSync(certificates.at(RECORD), JSON.stringify(future))
    await using relay = await startRelay()
    const line = await relay.waitForEvent('certificate_refused')
    expect(line['retryInMs']).toBeLessThanOrEqual(6_000)
    expect(Date.parse(String(record()['at']))).toBeLessThan(Date.now() + 1_000)
    expect(orders()).toBe(ordered)
    await relay.certificate()
  })
})
