// A certificate that falls due for renewal while two runs of one relay live, at an upgrade in place: the newer run orders one,
// and both use it. Real processes and a real ACME server, which each run reaches through a proxy of its own, so that it is
// seen who asks.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { AcmeProxy, at } from '../support/acme-proxy.ts'
import { AcmeRelay } from '../support/acme-relay.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Pebble } from '../support/pebble.ts'
import { freePort } from '../support/process.ts'

const TIMEOUT_MS = 150_000
const NAME = 'relay.example'
/** Two thirds of it are longer than two starts take on a busy machine. */
const LIFE_SECONDS = 48
/** The older run drains for longer than the renewal and a look into the folder take. */
const DRAIN = ['-drain-settle', '120s', '-drain-spread', '0s']

const found = await foreignPrograms('pebble', 'pebble-challtestsrv')

describe.skipIf('missing' in found)('a renewal while two runs live', { timeout: TIMEOUT_MS }, () => {
  const folder = new TemporaryFolder()
  let ports: { tls: number; http: number }
  let pebble: Pebble
  let authorities: { older: AcmeProxy; newer: AcmeProxy }

  beforeAll(async () => {
    if ('missing' in found) return
    ports = { tls: await freePort(), http: await freePort() }
    const validated = { httpPort: ports.http, tlsPort: ports.tls }
    const profiles = { brief: LIFE_SECONDS }
    pebble = await Pebble.start({ programs: found.paths, folder: folder.path, profiles, ...validated })
    const files = { certPath: pebble.authorityPath, keyPath: folder.at('127.0.0.1.key') }
    const start = async (): Promise<AcmeProxy> => await AcmeProxy.start(pebble.directoryUrl, files)
    authorities = { older: await start(), newer: await start() }
    for (const proxy of Object.values(authorities)) {
      // Without ARI the certificate's life counts, which both runs know.
      proxy.fault = at('/dir', (_, answer) => {
        answer.body = JSON.stringify({ ...(JSON.parse(answer.body) as object), renewalInfo: undefined })
      })
    }
  }, TIMEOUT_MS)

  afterAll(async () => {
    for (const proxy of Object.values(authorities ?? {})) await proxy[Symbol.asyncDispose]()
    await pebble?.[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  async function startRun({ directoryUrl }: AcmeProxy): Promise<AcmeRelay> {
    return await AcmeRelay.start({
      hostname: NAME,
      folder: folder.at('certificates'),
      keyPath: folder.at('derper.key'),
      directoryUrl,
      authorityPath: pebble.authorityPath,
      port: ports.tls,
      httpPort: ports.http,
      args: ['-acme-profile', 'brief', '-state-dir', folder.at('state'), ...DRAIN],
    })
  }

  /** Not their number: a server refuses some nonces on purpose, and the request is repeated. */
  const hasOrdered = ({ requests }: AcmeProxy): boolean =>
    requests.some((one) => one.startsWith('POST /order'))

  test('the newer run orders once, and both use the new certificate', async () => {
    await using older = await startRun(authorities.older)
    const first = await older.certificate()
    await using client = await DerpClient.connect({
      host: '127.0.0.1',
      port: ports.tls,
      tls: { isInsecure: true },
      key: newKeyPair(),
    })
    const ended = new Promise((resolve) => client.on('closed', resolve))
    await using newer = await startRun(authorities.newer)
    await newer.waitForEvent('run_took_over')
    await older.waitForEvent('relay_draining')
    expect((await newer.presented()).serialNumber).toBe(first.serialNumber)
    expect([pebble.issuedCount, hasOrdered(authorities.newer)]).toEqual([1, false])
    authorities.older.requests.length = 0

    const second = await newer.certificate(first)
    const replaced = await older.waitForEvent('certificate_replaced')
    expect(replaced).toMatchObject({ validUntil: second.validToDate.toISOString() })
    expect([pebble.issuedCount, hasOrdered(authorities.newer)]).toEqual([2, true])
    expect(hasOrdered(authorities.older)).toBe(false)
    for (const run of [older, newer]) {
      expect(run.events('certificate_refused')).toEqual([])
      expect(run.events('certificate_replaced')).toHaveLength(1)
    }
    // The older run still has its client: it was not replaced by its end.
    expect(older.process.exit).toBeUndefined()
    expect(await Promise.race([ended, Promise.resolve('connected')])).toBe('connected')
    expect(older.events('run_lost')).toEqual([])
  })
})
