// A relay's plain port behind real reverse proxies with connection pools, in the configuration of
// docs/behind-a-proxy.md.

import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { LIMITS, LiveRelay } from '../support/live-relay.ts'
import { installedProxies, startProxy, type Proxy, type ProxyName } from '../support/reverse-proxies.ts'
import { makeCertificate } from '../support/certificate.ts'

/** The default intervals on a plain port. */
const KEEP_ALIVE = { minMs: 25_000, maxMs: 45_000 }
/** Seconds of an idle session; 0 skips the test. Set it to 180 to cover proxies' usual timeouts. */
const IDLE_S = Number(process.env['DERPFLEET_IDLE_S'] ?? 0)

const folder = mkdtempSync(join(tmpdir(), 'behind-a-proxy-'))
let relay: LiveRelay
let certificate: { certificatePath: string; keyPath: string }

beforeAll(async () => {
  const made = await makeCertificate(folder, 'localhost')
  certificate = { certificatePath: made.certPath, keyPath: made.keyPath }
  relay = await LiveRelay.start({
    certificate: undefined,
    limits: { ...LIMITS, keepAlive: KEEP_ALIVE },
    admin: { host: '127.0.0.1', port: 0 },
  })
})
afterAll(async () => {
  await relay[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

/** Connections that the relay has accepted so far. */
async function acceptedCount(): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${relay.addresses.admin?.port}/metrics`)).text()
  return Number(/^derp_connections_accepted_total (\d+)$/m.exec(metrics)?.[1])
}

async function probe(port: number): Promise<number> {
  return await new Promise((resolve, reject) => {
    const sending = request(
      { host: '127.0.0.1', port, path: '/derp/probe', rejectUnauthorized: false },
      (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode ?? 0))
      },
    )
    sending.on('error', reject)
    sending.end()
  })
}

async function logIn(port: number): Promise<DerpClient> {
  return await DerpClient.connect({ host: '127.0.0.1', port, tls: { isInsecure: true }, key: newKeyPair() })
}

async function start(name: ProxyName): Promise<Proxy> {
  const own = mkdtempSync(join(folder, name))
  return await startProxy(name, { folder: own, relayPort: relay.port, ...certificate })
}

describe.each(installedProxies())('behind %s', (name) => {
  let proxy: Proxy
  beforeAll(async () => {
    proxy = await start(name)
  }, 200_000)
  afterAll(async () => await proxy[Symbol.asyncDispose]())

  it('ten clients log in on pooled connections that other requests have used', async () => {
    const before = await acceptedCount()
    const clients: DerpClient[] = []
    for (let i = 0; i < 10; i++) {
      expect(await probe(proxy.port)).toBe(200)
      clients.push(await logIn(proxy.port))
    }
    for (const client of clients) await client.ping()
    // Twenty requests on at most twelve connections: some logins used a connection of an earlier request.
    expect((await acceptedCount()) - before).toBeLessThanOrEqual(12)
    for (const client of clients) await client.close()
  })
})

it.skipIf(IDLE_S === 0)(
  `an idle session stays open for ${IDLE_S} seconds behind each proxy`,
  async () => {
    await Promise.all(
      installedProxies().map(async (name) => {
        await using proxy = await start(name)
        const client = await logIn(proxy.port)
        const sinceMs = performance.now()
        const keepAlivesS: number[] = []
        let end: unknown
        client.on('keepAlive', () => keepAlivesS.push(Math.round((performance.now() - sinceMs) / 1_000)))
        client.on('closed', (event) => (end = event))
        await sleep(IDLE_S * 1_000)
        process.stdout.write(`behind ${name}: keepalives after ${keepAlivesS.join(', ')} s\n`)
        expect(end, name).toBe(undefined)
        await client.ping()
        await client.close()
      }),
    )
  },
  (IDLE_S + 60) * 1_000,
)
