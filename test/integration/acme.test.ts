// Certificates from a real ACME server (Pebble), which validates this relay over HTTP and TLS, as an authority does.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:tls'
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { AcmeRelay, type AcmeRelayOptions } from '../support/acme-relay.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { canMakeNetworks, LoneHost } from '../support/network.ts'
import { Pebble } from '../support/pebble.ts'
import { freePort, runOk, startProcess, waitUntil } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'

const TIMEOUT_MS = 120_000
const NAME = 'relay.example'
const DAY_MS = 86_400_000
const CLIENTS = 1_000

const found = await foreignPrograms('pebble', 'pebble-challtestsrv', 'autocert')

describe.skipIf('missing' in found)('certificates from Pebble', { timeout: TIMEOUT_MS }, () => {
  const folder = new TemporaryFolder()
  let ports: { tls: number; http: number }
  let pebble: Pebble

  beforeAll(async () => {
    if ('missing' in found) return
    ports = { tls: await freePort(), http: await freePort() }
    pebble = await Pebble.start({
      programs: found.paths,
      folder: folder.path,
      httpPort: ports.http,
      tlsPort: ports.tls,
    })
  }, TIMEOUT_MS)

  afterAll(async () => {
    await pebble?.[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  })

  async function startRelay(name: string, wanted: Partial<AcmeRelayOptions> = {}): Promise<AcmeRelay> {
    return await AcmeRelay.start({
      hostname: NAME,
      folder: folder.at(name),
      keyPath: folder.at(`${name}.derper.key`),
      directoryUrl: pebble.directoryUrl,
      authorityPath: pebble.authorityPath,
      port: ports.tls,
      httpPort: ports.http,
      ...wanted,
      // Pebble chooses a profile at random if none is named.
      args: [...(wanted.hostname === undefined ? ['-acme-profile', 'default'] : []), ...(wanted.args ?? [])],
    })
  }

  test.each(['http-01', 'tls-alpn-01'])(
    'gets a certificate for a name by %s, is ready then, and keeps it over a restart',
    async (kind) => {
      const args = ['-acme-challenge', kind, '-acme-email', 'ops@relay.example', '-certmode', 'letsencrypt']
      const relay = await startRelay(kind, { args })
      let certificate: X509Certificate
      try {
        certificate = await relay.certificate()
        await relay.waitForEvent('relay_ready')
        expect(relay.events('certificate_loaded')).toMatchObject([{ names: [NAME], source: 'acme' }])
        expect(await relay.page('/readyz')).toContain('ready')
        await waitUntil('the certificate is stored, and nothing else', () =>
          isDeepStrictEqual(readdirSync(folder.at(kind)).sort(), ['acme_account+key', NAME]),
        )
      } finally {
        await relay.process.stop()
      }
      expect(certificate.checkHost(NAME)).toBe(NAME)
      const stored = readFileSync(folder.at(`${kind}/${NAME}`), 'utf8')
      expect(stored).toMatch(/^-----BEGIN EC PRIVATE KEY-----[^]*\n-----BEGIN CERTIFICATE-----/)
      expect(
        new X509Certificate(stored.slice(stored.indexOf('-----BEGIN CERT'))).checkPrivateKey(
          createPrivateKey(stored),
        ),
      ).toBe(true)
      const before = pebble.issuedCount
      await using again = await startRelay(kind, { args })
      expect((await again.presented()).serialNumber).toBe(certificate.serialNumber)
      expect(pebble.issuedCount).toBe(before)
    },
  )

  test.each(['http-01', 'tls-alpn-01'])('gets a certificate of 6 days for an address by %s', async (kind) => {
    const args = ['-acme-ip-certs', '-acme-challenge', kind]
    await using relay = await startRelay(`address-${kind}`, { hostname: '127.0.0.1', args })
    const certificate = await relay.certificate()
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1')
    expect(lifeDays(certificate)).toBe(6)
    // The certificate is in use before it is stored.
    const files = ['127.0.0.1.crt', '127.0.0.1.key', 'acme-account.key']
    await waitUntil('the certificate is stored, and nothing else', () =>
      isDeepStrictEqual(readdirSync(folder.at(`address-${kind}`)).sort(), files),
    )
  })

  test('tries the other challenge if the first one fails', async () => {
    // The authority does not reach this port.
    const port = await freePort()
    await using relay = await startRelay('other', { port })
    await relay.certificate()
    expect(relay.events('certificate_refused')).toEqual([])
  })

  test('binds the account to an external one', async () => {
    if ('missing' in found) return
    using own = new TemporaryFolder()
    const key = Buffer.alloc(32, 1).toString('base64url')
    await using strict = await Pebble.start({
      programs: found.paths,
      folder: own.path,
      httpPort: ports.http,
      tlsPort: ports.tls,
      eabKeys: { kid1: key },
    })
    const wanted = { directoryUrl: strict.directoryUrl, authorityPath: strict.authorityPath }
    const without = await startRelay('unbound', wanted)
    const refused = await without.waitForEvent('certificate_refused')
    await without.process.stop()
    expect(refused).toMatchObject({
      reason: 'acme_refused',
      problem: expect.stringContaining('-acme-eab-kid'),
    })
    const args = ['-certmode', 'gcp', '-acme-email', 'ops@relay.example', '-acme-eab-kid', 'kid1']
    await using relay = await startRelay('bound', { ...wanted, args, env: { DERPFLEET_ACME_EAB_KEY: key } })
    await relay.certificate()
  })

  test("serves a certificate of derper's ACME client without asking the authority, and renews it with derper's account", async () => {
    if ('missing' in found) return
    const path = folder.at('derper')
    const address = `127.0.0.1:${ports.tls}`
    const serial = (await runOk(found.paths.autocert, [pebble.directoryUrl, path, NAME, address])).trim()
    expect(readdirSync(path).sort()).toEqual(['acme_account+key', NAME])
    const account = readFileSync(folder.at('derper/acme_account+key'), 'utf8')
    await using unreachable = await startRelay('derper', { directoryUrl: 'https://127.0.0.1:1/dir' })
    await unreachable.waitForEvent('relay_ready')
    const old = await unreachable.presented()
    // Go prints a number, without zeros in front.
    expect(BigInt(`0x${old.serialNumber}`)).toBe(BigInt(`0x${serial}`))
    expect(unreachable.events('certificate_refused')).toEqual([])
    await unreachable.process.stop()
    await using relay = await startRelay('derper')
    const suggestedWindow = { start: '2026-01-01T00:00:00Z', end: '2026-01-02T00:00:00Z' }
    await pebble.setRenewalInformation(old.toString(), { suggestedWindow })
    relay.process.signal('SIGHUP')
    await relay.certificate(old)
    // The authority accepts only the account that ordered the certificate.
    expect(pebble.output).toMatch(/is a replacement of/)
    expect(readFileSync(folder.at('derper/acme_account+key'), 'utf8')).toBe(account)
  })

  test('relays with one folder order one certificate; each answers for the other', async () => {
    const before = pebble.issuedCount
    const args = ['-acme-challenge', 'http-01']
    const elsewhere = {
      port: await freePort(),
      httpPort: await freePort(),
      keyPath: folder.at('second.key'),
      args,
    }
    // The second relay is not where the authority validates, and it orders first.
    await using second = await startRelay('shared', elsewhere)
    await using first = await startRelay('shared', { args })
    const serials = await Promise.all(
      [first, second].map(async (relay) => (await relay.certificate()).serialNumber),
    )
    expect(new Set(serials).size).toBe(1)
    expect(pebble.issuedCount).toBe(before + 1)
    const old = await first.presented()
    const suggestedWindow = { start: '2026-01-01T00:00:00Z', end: '2026-01-02T00:00:00Z' }
    await pebble.setRenewalInformation(old.toString(), { suggestedWindow })
    first.process.signal('SIGHUP')
    const renewed = await first.certificate(old)
    expect((await second.certificate(old)).serialNumber).toBe(renewed.serialNumber)
    expect(pebble.issuedCount).toBe(before + 2)
  })

  test.each([
    ['a name', NAME, ['-acme-profile', 'default']],
    ['a name with a life of 6 days', NAME, ['-acme-profile', 'shortlived']],
    ['an address', '127.0.0.1', ['-acme-ip-certs']],
  ])(
    'renews in the window that the authority asks for, under a thousand connections: %s',
    async (_, hostname, args) => {
      await using relay = await startRelay(`renewed-${args.join()}`, { hostname, args })
      const old = await relay.certificate()
      const closed: string[] = []
      const clients = await connectAll(relay.port, (reason) => closed.push(reason))
      try {
        const nowMs = Date.now()
        const [startMs, endMs] = [nowMs + 3_000, nowMs + 4_000]
        await pebble.setRenewalInformation(old.toString(), {
          suggestedWindow: { start: new Date(startMs).toISOString(), end: new Date(endMs).toISOString() },
        })
        const replacementsBefore = replacementCount()
        relay.process.signal('SIGHUP')
        const renewed = await relay.certificate(old)
        const replaced = await relay.waitForEvent('certificate_replaced')
        expect(replaced).toMatchObject({ names: [hostname] })
        expect(Date.parse(String(replaced['time']))).toBeGreaterThanOrEqual(startMs)
        // What Pebble says of it may come a moment later.
        await expect.poll(replacementCount, { timeout: 5_000 }).toBe(replacementsBefore + 1)
        expect(lifeDays(renewed)).toBe(lifeDays(old))
        await relayEach(clients)
        expect(closed).toEqual([])
      } finally {
        await Promise.all(clients.map(async (client) => await client.close()))
      }
    },
  )

  test("serves derper's command line on derper's ports, with nothing added but the authority", async ({
    skip,
  }) => {
    if ('missing' in found || !(await canMakeNetworks())) return skip('needs root for a network namespace')
    using own = new TemporaryFolder()
    await using host = await LoneHost.make()
    const { prefix } = host
    const ports = { httpPort: 80, tlsPort: 443 }
    await using authority = await Pebble.start({ programs: found.paths, folder: own.path, prefix, ...ports })
    const line = `-hostname ${NAME} -c ${own.at('derper.key')} -certdir ${own.at('certs')} -acme-email ops@${NAME} `
    const admission = '-verify-client-url http://127.0.0.1:8080/verify'
    await using relay = await startProcess(
      'ip',
      [
        ...prefix.slice(1),
        PROGRAM,
        'serve',
        ...(line + admission).split(' '),
        '-acme-directory',
        authority.directoryUrl,
      ],
      { env: { SSL_CERT_FILE: authority.authorityPath }, readyWhen: /"event":"relay_ready"/ },
    )
    const client = ['openssl', 's_client', '-connect', '127.0.0.1:443', '-servername', NAME]
    const shown = await runOk('ip', [...prefix.slice(1), ...client])
    expect(shown).toMatch(/issuer=CN ?= ?Pebble Intermediate/)
    expect(relay.output).not.toContain('setting_warning')
    // As derper does, it has proven its name on the TLS port.
    expect(authority.output).not.toContain('acme-challenge')
  })

  test('a name and an address: each handshake gets its own', async () => {
    await using relay = await startRelay('both', { args: ['-acme-ip-certs'] })
    await relay.certificate()
    await waitUntil('there is a certificate for the address', async () => {
      const socket = connect({ host: '127.0.0.1', port: relay.port, rejectUnauthorized: false })
      await once(socket, 'secureConnect')
      const certificate = socket.getPeerX509Certificate()
      socket.destroy()
      return certificate?.checkIP('127.0.0.1') !== undefined
    })
    expect((await relay.presented()).checkHost(NAME)).toBe(NAME)
  })

  function replacementCount(): number {
    return [...pebble.output.matchAll(/is a replacement of/g)].length
  }

  function lifeDays({ validFromDate, validToDate }: X509Certificate): number {
    return Math.round((validToDate.getTime() - validFromDate.getTime()) / DAY_MS)
  }

  async function connectAll(port: number, onClosed: (reason: string) => void): Promise<DerpClient[]> {
    const clients: DerpClient[] = []
    while (clients.length < CLIENTS) {
      const some = Array.from({ length: 50 }, async () => {
        const target = { host: '127.0.0.1', port, tls: { isInsecure: true } as const }
        const client = await DerpClient.connect({ ...target, key: newKeyPair() })
        client.on('closed', (event) => onClosed(JSON.stringify(event)))
        return client
      })
      clients.push(...(await Promise.all(some)))
    }
    return clients
  }

  /** Each client receives a packet of its neighbour. */
  async function relayEach(clients: readonly DerpClient[]): Promise<void> {
    const received = clients.map(async (client) => await client.next('packet'))
    clients.forEach((client, index) => {
      const to = clients[(index + 1) % clients.length]
      if (to !== undefined) client.send(to.publicKey, Buffer.from('hello'))
    })
    await Promise.all(received)
  }
})
