// Two runs of one relay look after the same certificate in the same folder: one of them renews.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { CertificateStore } from '#certificates/certificate-store.ts'
import { RenewedCertificate } from '#certificates/renewed-certificate.ts'
import type { AcmeName } from '#config/settings.ts'
import { DAY_MS, makePair, type Pair } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { waitUntil } from '../support/process.ts'
import { canMakeDisk, SmallDisk } from '../support/small-disk.ts'

const NAME = 'a.example'
/** A run looks into the folder every ten seconds. */
const LOOK_MS_MAX = 25_000

const fresh = (): Pair => makePair([NAME], Date.now() - 60_000, Date.now() + 90 * DAY_MS)
/** To be renewed long since. */
const old = (): Pair => makePair([NAME], Date.now() - 80 * DAY_MS, Date.now() + 10 * DAY_MS)

/** A run of a relay, as far as its certificate is concerned. */
class CertificateOfRun {
  isInCharge: boolean
  isRefused = false
  readonly orders: Pair[] = []
  readonly questions: string[] = []
  readonly failures: string[] = []
  readonly certificate: RenewedCertificate

  constructor(folder: string, isInCharge: boolean) {
    this.isInCharge = isInCharge
    const store = new CertificateStore(folder)
    this.certificate = new RenewedCertificate({
      wanted: { name: NAME } as AcmeName,
      store: {
        read: async () => await store.read(NAME),
        write: async (pem) => await store.write(NAME, pem),
        lease: async () => await store.lease(NAME),
        check: async () => await store.check(),
      },
      attempts: store.attempts(NAME, { directory: 'https://ca.example/directory', relay: 'nodekey:aa' }),
      issue: async () => {
        await sleep(20)
        if (this.isRefused) throw new Error('refused')
        const pair = fresh()
        this.orders.push(pair)
        return pair
      },
      askRenewal: async (renewalId) => {
        this.questions.push(renewalId)
        return await Promise.resolve(undefined)
      },
      isInCharge: () => this.isInCharge,
      onChange: () => undefined,
      onFailure: ({ text }) => this.failures.push(text),
      now: Date.now,
      random: () => 0.5,
    })
  }

  async start(): Promise<void> {
    await this.certificate.start()
    this.certificate.begin()
  }
}

it(
  'only the run in charge renews; the other takes the new certificate from the folder',
  { timeout: 90_000 },
  async () => {
    using folder = new TemporaryFolder()
    await new CertificateStore(folder.path).write(NAME, old())
    const [older, newer] = [new CertificateOfRun(folder.path, true), new CertificateOfRun(folder.path, false)]
    await newer.start()
    await sleep(1_000)
    // Renewal is due for both.
    expect(newer.orders).toEqual([])
    await older.start()
    await waitUntil('it is renewed', () => older.orders.length === 1)
    const isShared = (): boolean => newer.certificate.pem?.certificate === older.certificate.pem?.certificate
    await waitUntil('the other run has it', isShared, LOOK_MS_MAX)
    expect(newer.orders).toEqual([])
    expect(newer.questions).toEqual([])
    for (const one of [older, newer]) await one.certificate.stop()
  },
)

it('a run that takes over renews what the run before has left', { timeout: 60_000 }, async () => {
  using folder = new TemporaryFolder()
  await new CertificateStore(folder.path).write(NAME, old())
  const run = new CertificateOfRun(folder.path, false)
  await run.start()
  await sleep(500)
  expect(run.orders).toEqual([])
  run.isInCharge = true
  await waitUntil('it is renewed', () => run.orders.length === 1, LOOK_MS_MAX)
  await run.certificate.stop()
})

it('a run without a certificate orders one, in charge or not', async () => {
  using folder = new TemporaryFolder()
  const run = new CertificateOfRun(folder.path, false)
  await run.start()
  await waitUntil('it has one', () => run.certificate.pem !== undefined)
  expect(run.orders.length).toBe(1)
  expect(run.failures).toEqual([])
  await run.certificate.stop()
})

it('a storm of reloads is no storm of orders', { timeout: 30_000 }, async () => {
  using folder = new TemporaryFolder()
  const run = new CertificateOfRun(folder.path, true)
  run.isRefused = true
  await run.start()
  for (let i = 0; i < 60; i++) await run.certificate.reload()
  expect(run.failures.length).toBeGreaterThan(15)
  expect(run.failures.length).toBeLessThanOrEqual(21)
  await run.certificate.stop()
})

it.skipIf(!canMakeDisk)(
  'on a full disk, a certificate is ordered in the last tenth of a life only',
  async () => {
    using folder = new TemporaryFolder()
    await using disk = await SmallDisk.mount(folder.at('disk'))
    const path = disk.seen('certificates')
    const store = new CertificateStore(path)
    const run = new CertificateOfRun(path, true)
    await store.write(NAME, makePair([NAME], Date.now() - 85 * DAY_MS, Date.now() + 15 * DAY_MS))
    disk.fill()
    await run.start()
    await waitUntil('it has failed', () => run.failures.length === 1)
    expect(run.failures[0]).toMatch(/nothing is ordered: .* \(ENOSPC\)/)
    expect(run.orders).toEqual([])
    await run.certificate.stop()
    disk.empty()
    await store.write(NAME, makePair([NAME], Date.now() - 91 * DAY_MS, Date.now() + 9 * DAY_MS))
    disk.fill()
    const last = new CertificateOfRun(path, true)
    await last.start()
    await waitUntil('it is renewed', () => last.certificate.pem?.certificate === last.orders[0]?.certificate)
    await waitUntil('it is reported', () => last.failures.length > 0)
    expect(last.failures).toEqual([expect.stringMatching(/in use, but cannot be stored: .*full file system/)])
    await last.certificate.stop()
  },
)
