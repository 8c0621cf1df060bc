// An ACME authority that errs, refuses, is slow, or has another clock: the certificate in use stays, a metric and one log line say
// why, and the next attempt succeeds.

import { X509Certificate } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { makePair, DAY_MS } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { AcmeProxy, at, problem, type AcmeFault } from '../support/acme-proxy.ts'
import { AcmeRelay } from '../support/acme-relay.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Pebble } from '../support/pebble.ts'
import { freePort, waitUntil } from '../support/process.ts'

const TIMEOUT_MS = 120_000
const NAME = 'relay.example'
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n?/g

const found = await foreignPrograms('pebble', 'pebble-challtestsrv')

describe.skipIf('missing' in found)('an authority that fails', { timeout: TIMEOUT_MS }, () => {
  const folder = new TemporaryFolder()
  let ports: { tls: number; http: number }
  let pebble: Pebble
  let proxy: AcmeProxy
  let relay: AcmeRelay
  let old: X509Certificate

  beforeAll(async () => {
    if ('missing' in found) return
    ports = { tls: await freePort(), http: await freePort() }
    const validated = { httpPort: ports.http, tlsPort: ports.tls }
    pebble = await Pebble.start({ programs: found.paths, folder: folder.path, ...validated })
    const keyPath = join(folder.path, '127.0.0.1.key')
    proxy = await AcmeProxy.start(pebble.directoryUrl, { certPath: pebble.authorityPath, keyPath })
    relay = await startRelay()
    old = await relay.certificate()
    // From now on, the certificate is to be renewed at once.
    const suggestedWindow = { start: '2026-01-01T00:00:00Z', end: '2026-01-02T00:00:00Z' }
    await pebble.setRenewalInformation(old.toString(), { suggestedWindow })
  }, TIMEOUT_MS)

  afterAll(async () => {
    await relay?.[Symbol.asyncDispose]()
    await proxy?.[Symbol.asyncDispose]()
    await pebble?.[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  afterEach(() => {
    proxy.fault = undefined
  })

  async function startRelay(): Promise<AcmeRelay> {
    return await AcmeRelay.start({
      hostname: NAME,
      folder: folder.at('certificates'),
      keyPath: folder.at('derper.key'),
      directoryUrl: proxy.directoryUrl,
      authorityPath: pebble.authorityPath,
      port: ports.tls,
      httpPort: ports.http,
      args: ['-acme-profile', 'default', '-acme-challenge', 'http-01'],
    })
  }

  const failures = async (reason: string): Promise<number> =>
    await relay.metric(`derp_certificate_failures_total{reason="${reason}"}`)

  /** One attempt with the fault. */
  async function attempt(fault: AcmeFault, reason: string): Promise<Readonly<Record<string, unknown>>> {
    const countBefore = await failures(reason)
    const linesBefore = relay.events('certificate_refused').length
    proxy.fault = fault
    relay.process.signal('SIGHUP')
    const line = await relay.waitForEvent('certificate_refused', linesBefore + 1)
    expect(line, String(line['problem'])).toMatchObject({ reason, retryInMs: expect.any(Number) })
    proxy.fault = undefined
    await waitUntil('the metric shows the failure', async () => (await failures(reason)) > countBefore)
    expect((await relay.presented()).serialNumber).toBe(old.serialNumber)
    expect(await relay.metric('derp_certificate_last_renewal_successful')).toBe(0)
    expect(relay.events('certificate_refused')).toHaveLength(linesBefore + 1)
    return line
  }

  const chainOf = (text: string): string[] => text.match(CERTIFICATE) ?? []
  const otherPair = makePair([NAME], Date.now() - DAY_MS, Date.now() + DAY_MS)

  const faults: readonly (readonly [string, string, AcmeFault, RegExp])[] = [
    ['refuses', 'acme_refused', at('/order', problem(403, 'unauthorized')), /test of unauthorized/],
    [
      'has no directory',
      'acme_unreachable',
      at('/dir', (_, answer) => void (answer.body = '<html>')),
      /no ACME directory/,
    ],
    [
      'redirects',
      'acme_unreachable',
      at('/dir', (_, answer) => {
        answer.status = 302
        answer.headers['location'] = 'http://192.0.2.1/'
      }),
      /redirects to http:\/\/192/,
    ],
    [
      'answers without an end',
      'acme_unreachable',
      at('/dir', (_, answer) => void (answer.body = ' '.repeat(300_000))),
      /more than 256 KiB/,
    ],
    [
      'limits the rate',
      'acme_rate_limited',
      at('/order', problem(429, 'rateLimited', { 'retry-after': '36000' })),
      /test of rateLimited/,
    ],
    ['loses the order', 'acme_refused', at('/my-order', problem(404, 'malformed')), /test of malformed/],
    [
      'issues a certificate for another key',
      'acme_certificate',
      at('/certZ', (_, answer) => void (answer.body = otherPair.certificate)),
      /does not match/,
    ],
    [
      'issues a certificate that has expired',
      'acme_certificate',
      at('/certZ', (_, answer) => {
        answer.body = makePair([NAME], Date.now() - 3 * DAY_MS, Date.now() - DAY_MS).certificate
      }),
      /expired/,
    ],
    [
      'sends the chain in the wrong order',
      'acme_certificate',
      at('/certZ', (_, answer) => {
        const [own = '', ...others] = chainOf(answer.body)
        answer.body = [own, ...others.reverse()].join('')
      }),
      /not signed by certificate 2/,
    ],
    [
      'sends half a certificate',
      'acme_certificate',
      at('/certZ', (_, answer) => void (answer.body = answer.body.slice(0, 400))),
      /readable|damaged/,
    ],
    [
      'has another clock',
      'other',
      (_, answer) => void (answer.headers['date'] = new Date(Date.now() + DAY_MS).toUTCString()),
      /clocks differ.*T.*Z on this host.*T.*Z at the authority/,
    ],
    [
      'does not reach the relay',
      'acme_challenge',
      at('/authZ', (_, answer) => {
        const authorization = JSON.parse(answer.body) as { status: string; challenges: { error?: unknown }[] }
        authorization.status = 'invalid'
        for (const challenge of authorization.challenges) challenge.error = { detail: 'connection\n refused' }
        answer.body = JSON.stringify(authorization)
      }),
      /could not verify relay\.example by http-01: connection refused/,
    ],
  ]

  test.each(faults)('%s: the certificate stays', async (_, reason, fault, text) => {
    const line = await attempt(fault, reason)
    expect(line['problem']).toMatch(text)
    expect(line['problem']).toMatch(/^relay\.example: /)
    if (reason === 'acme_rate_limited') expect(line['retryInMs']).toBe(36_000_000)
  })

  test('is slow: the request ends after its time, and the relay stops at once meanwhile', async () => {
    let answerCount = 0
    const oneHangs = at('/order', () => (answerCount++ === 0 ? false : undefined))
    await attempt(oneHangs, 'acme_unreachable')
    proxy.fault = at('/order', () => false)
    const requestsBefore = proxy.requests.length
    relay.process.signal('SIGHUP')
    await waitUntil('the relay orders', () =>
      proxy.requests.slice(requestsBefore).some((one) => one.includes('/order')),
    )
    expect(await relay.process.stop()).toEqual({ code: 0, signal: null })
    relay = await startRelay()
    expect((await relay.presented()).serialNumber).toBe(old.serialNumber)
  })

  test('a folder that takes no file: the new certificate is used from memory, and stored when it can be', async () => {
    const path = join(folder.at('certificates'), NAME)
    rmSync(path)
    // A folder in the file's place; root may write to files that are read-only.
    mkdirSync(path)
    relay.process.signal('SIGHUP')
    const renewed = await relay.certificate(old)
    await waitUntil('the failure is reported', () =>
      relay
        .events('certificate_refused')
        .some(({ problem }) => String(problem).includes('in use, but cannot be stored')),
    )
    expect(await failures('store')).toBeGreaterThan(0)
    rmSync(path, { recursive: true })
    relay.process.signal('SIGHUP')
    await waitUntil('the certificate is stored', () =>
      readFileSync(path, 'utf8').includes('BEGIN CERTIFICATE'),
    )
    expect(new X509Certificate(chainOf(readFileSync(path, 'utf8'))[0] ?? '').serialNumber).toBe(
      renewed.serialNumber,
    )
    await waitUntil('the metric shows the success', async () => {
      return (await relay.metric('derp_certificate_last_renewal_successful')) === 1
    })
  })
})
