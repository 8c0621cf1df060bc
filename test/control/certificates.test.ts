// The owner of certificates: what it tells the threads, when it considers them told, and what it says of failures.

import { randomBytes } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import type {
  CertificateHost,
  CertificateSource,
  ChallengePort,
  SourcedCertificate,
} from '#certificates/certificate-source.ts'
import { Certificates } from '#control/certificates.ts'
import { Log } from '#ops/log.ts'
import type { CertificateSet } from '#protocol/certificate-pem.ts'
import { keyPairFrom } from '#protocol/node-key.ts'
import { DAY_MS, goodPair, makePair } from '../config/certificates.ts'

/** A source that does what the test says. */
class Puppet implements CertificateSource {
  readonly host: CertificateHost
  readonly tlsAlpn: ChallengePort['tlsAlpn']
  onReload = (): void => undefined

  constructor(host: CertificateHost, tlsAlpn: ChallengePort['tlsAlpn']) {
    this.host = host
    this.tlsAlpn = tlsAlpn
  }

  start(): void {}
  stop(): void {}

  async reload(): Promise<void> {
    await Promise.resolve(this.onReload())
  }
}

class Setup {
  readonly sent: { set: CertificateSet }[] = []
  log = ''
  handled = Promise.withResolvers<void>()
  readonly certificates: Certificates
  puppet!: Puppet

  constructor() {
    this.certificates = new Certificates({
      settings: { hostname: 'derp.example', nodeKey: keyPairFrom(randomBytes(32)), tlsMaxVersion: 'TLSv1.3' },
      log: new Log('info', { write: (line) => (this.log += line) }),
      now: Date.now,
      makeSource: (host, tlsAlpn) => (this.puppet = new Puppet(host, tlsAlpn)),
      broadcast: (message) => {
        if (message.kind === 'certificates') this.sent.push(message)
      },
      handled: async () => await this.handled.promise,
    })
  }

  events(): string[] {
    return [...this.log.matchAll(/"event":"(\w+)"/g)].map(([, event = '']) => event)
  }
}

function sourced(name = 'derp.example', pem = goodPair(name)): SourcedCertificate {
  return { names: [name], pem, origin: 'acme', from: 'https://authority.example/directory' }
}

let setup: Setup
beforeEach(async () => {
  setup = new Setup()
  await setup.certificates.start()
})
afterEach(async () => {
  vi.useRealTimers()
  await setup.certificates.stop()
})

it('starts without a certificate, is not ready, and gives the threads the first one', () => {
  const { certificates, puppet, sent } = setup
  expect(sent).toMatchObject([{ set: { certificates: [], challenges: [] } }])
  expect(certificates.status.certificates).toEqual([])
  const one = sourced()
  puppet.host.use([one])
  expect(sent[1]).toMatchObject({ set: { certificates: [{ names: one.names, pem: one.pem }] } })
  expect(certificates.status.certificates).toMatchObject([{ hostname: 'derp.example', origin: 'acme' }])
  expect(setup.events()).toEqual(['certificate_loaded'])
})

it('a challenge is set when the threads use it', async () => {
  const { puppet, sent } = setup
  let isSet = false
  const setting = puppet.tlsAlpn.set('derp.example', goodPair('derp.example')).then(() => (isSet = true))
  await nextTurn()
  expect(isSet).toBe(false)
  setup.handled.resolve()
  await setting
  await puppet.tlsAlpn.set('other.example', goodPair('other.example'))
  expect(sent.at(-1)?.set.challenges.map(({ names }) => names)).toEqual([['derp.example'], ['other.example']])
  puppet.tlsAlpn.clear('derp.example')
  puppet.tlsAlpn.clear('derp.example')
  expect(sent.at(-1)?.set.challenges.map(({ names }) => names)).toEqual([['other.example']])
  expect(sent).toHaveLength(4)
})

it('any failure keeps the certificate: one line for each problem, and a count for each failure', () => {
  const { certificates, puppet, sent } = setup
  const one = sourced()
  puppet.host.use([one])
  for (let i = 0; i < 3; i++) puppet.host.failed({ reason: 'acme_unreachable', text: 'no answer' })
  puppet.host.failed({ reason: 'acme_rate_limited', text: 'too many orders', retryInMs: 60_000 })
  expect(certificates.status).toMatchObject({ lastFailure: 'too many orders' })
  expect(certificates.status.failures.get('acme_unreachable')).toBe(3)
  puppet.host.use([one])
  expect(certificates.status.lastFailure).toBeUndefined()
  expect(sent).toHaveLength(2)
  const refused = ['certificate_refused', 'certificate_refused']
  expect(setup.events()).toEqual(['certificate_loaded', ...refused, 'certificate_recovered'])
})

it('does not give the threads what TLS refuses', () => {
  const { certificates, puppet, sent } = setup
  const one = sourced()
  puppet.host.use([one])
  puppet.host.use([sourced('derp.example', { certificate: one.pem.certificate, key: goodPair('x').key })])
  puppet.host.use([sourced('derp.example', { certificate: 'none', key: 'none' })])
  expect(sent).toHaveLength(2)
  expect(certificates.status.failures.get('refused_by_tls')).toBe(2)
  expect(certificates.status.lastFailure).toMatch(/^https:.* is refused by TLS: /)
})

it('a reload says whether it found another certificate', async () => {
  const { certificates, puppet } = setup
  const one = sourced()
  puppet.onReload = () => puppet.host.use([one])
  expect(await certificates.reload()).toMatchObject({ result: 'new' })
  expect(await certificates.reload()).toEqual({ path: one.from, result: 'same' })
  puppet.onReload = () => puppet.host.failed({ reason: 'expired', text: 'expired' })
  expect(await certificates.reload()).toMatchObject({ result: 'refused' })
})

it('renews the meta certificate long before it expires, and warns once of a certificate at its end', async () => {
  await setup.certificates.stop()
  vi.useFakeTimers()
  setup = new Setup()
  await setup.certificates.start()
  const { puppet, sent } = setup
  const nowMs = Date.now()
  puppet.host.use([sourced('derp.example', makePair(['derp.example'], nowMs, nowMs + 90 * DAY_MS))])
  const first = sent.at(-1)?.set.meta
  vi.advanceTimersByTime(19 * DAY_MS)
  expect(sent.at(-1)?.set.meta).toBe(first)
  vi.advanceTimersByTime(2 * DAY_MS)
  const second = sent.at(-1)?.set.meta
  expect(second).not.toBe(first)
  expect(sent.at(-1)?.set.certificates).toHaveLength(1)
  vi.advanceTimersByTime(67 * DAY_MS)
  expect(new Set(sent.map(({ set }) => set.meta)).size).toBe(5)
  expect(setup.events().filter((event) => event === 'certificate_expiring')).toHaveLength(1)
})
