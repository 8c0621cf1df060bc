// The key directory over real NATS servers, two of them, joined by a gateway: one for each region.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type AddressInfo, connect as connectTcp, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { DerpClient } from '#client/derp-client.ts'
import type { Whereabouts } from '#mesh/key-directory.ts'
import { NatsDirectory, type NatsDirectoryParts } from '#mesh/nats-directory.ts'
import { toHex } from '#protocol/bytes.ts'
import { makeCertificate } from '../support/certificate.ts'
import { foreigners } from '../support/foreign.ts'
import { LiveRelay, NO_MESH } from '../support/live-relay.ts'
import { NatsServers } from '../support/nats.ts'
import { NatsOperator } from '../support/nats-credentials.ts'
import { observeWorkers } from '../support/observed-workers.ts'
import { waitUntil } from '../support/process.ts'

const found = await foreigners('nats-server')
const TIMEOUT_MS = 120_000
const program = 'paths' in found ? found.paths['nats-server'] : ''
const secret = randomBytes(32)

/** Between a relay and its NATS server: lets everything through, or swallows it, or says something else. */
class Tamperer implements AsyncDisposable {
  readonly #server: Server
  readonly #relays = new Set<Socket>()
  isSilent = false

  constructor(target: string) {
    const { hostname, port } = new URL(target)
    this.#server = createServer((relay) => {
      const server = connectTcp(Number(port), hostname)
      this.#relays.add(relay)
      relay.on('data', (bytes) => this.isSilent || server.write(bytes))
      server.on('data', (bytes) => this.isSilent || relay.write(bytes))
      for (const [one, other] of [
        [relay, server],
        [server, relay],
      ] as const) {
        one.on('error', () => undefined)
        one.on('close', () => other.destroy())
      }
      relay.on('close', () => this.#relays.delete(relay))
    })
  }

  async listen(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return `nats://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  say(bytes: Uint8Array | string): void {
    for (const relay of this.#relays) relay.write(bytes)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const relay of this.#relays) relay.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

describe.skipIf('missing' in found)('a key directory over NATS', { timeout: TIMEOUT_MS }, () => {
  let folder: string
  let servers: NatsServers
  const open: NatsDirectory[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nats-'))
    servers = await NatsServers.start(program, { folder, names: ['EU', 'US'] })
  }, TIMEOUT_MS)

  afterAll(async () => {
    await Promise.all(open.map(async (directory) => await directory.close()))
    await servers?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  /** A relay's directory; the server of its region comes first. */
  async function directoryOf(name: string, region: string): Promise<NatsDirectory> {
    return await connected(
      opened(name, { settings: { servers: [servers.url(region)], ca: undefined, secret } }),
    )
  }

  function opened(
    name: string,
    parts: Pick<NatsDirectoryParts, 'settings'> & Partial<NatsDirectoryParts>,
  ): NatsDirectory {
    const directory = new NatsDirectory({
      credentials: undefined,
      onConnected: () => undefined,
      name: () => name,
      ...parts,
    })
    open.push(directory)
    return directory
  }

  async function connected(directory: NatsDirectory): Promise<NatsDirectory> {
    await waitUntil('it is connected', () => directory.isConnected)
    return directory
  }

  async function located(directory: NatsDirectory, key: Uint8Array): Promise<string | undefined> {
    const where = await new Promise<Whereabouts>((resolve) => directory.locate(key, resolve))
    return where.kind === 'at' ? where.relay : undefined
  }

  async function isAt(directory: NatsDirectory, key: Uint8Array, relay: string | undefined): Promise<void> {
    await waitUntil(`the key is at ${relay}`, async () => (await located(directory, key)) === relay, 10_000)
  }

  test('says where a key is, from the same region and from another', async () => {
    const [fra, nyc, ber] = [
      await directoryOf('fra1.lab', 'EU'),
      await directoryOf('nyc1.lab:8443', 'US'),
      await directoryOf('ber1.lab/10.0.0.2', 'EU'),
    ]
    const [here, there] = [randomBytes(32), randomBytes(32)]
    fra.announce(here)
    nyc.announce(there)
    await isAt(ber, here, 'fra1.lab')
    await isAt(nyc, here, 'fra1.lab')
    await isAt(fra, there, 'nyc1.lab:8443')
    expect(await located(nyc, randomBytes(32))).toBeUndefined()
    fra.withdraw(here)
    ber.announce(here)
    await isAt(nyc, here, 'ber1.lab/10.0.0.2')
    ber.withdraw(here)
    await isAt(nyc, here, undefined)
  })

  test('tells who asked that a key has moved', async () => {
    const [fra, nyc] = [await directoryOf('fra2.lab', 'EU'), await directoryOf('nyc2.lab', 'US')]
    const key = randomBytes(32)
    const moves: (string | undefined)[] = []
    const unwatch = fra.watch(key, (relay) => moves.push(relay))
    await located(fra, key)
    await waitUntil('it is told', () => {
      nyc.withdraw(key)
      nyc.announce(key)
      return moves.includes('nyc2.lab')
    })
    nyc.withdraw(key)
    await waitUntil('it is told that it has left', () => moves.at(-1) === undefined)
    unwatch()
  })

  test('can not say at once while its server is away, and announces everything again after', async () => {
    const [fra, nyc] = [await directoryOf('fra3.lab', 'EU'), await directoryOf('nyc3.lab', 'US')]
    const keys = Array.from({ length: 1_000 }, () => randomBytes(32))
    for (const key of keys) fra.announce(key)
    for (const key of keys) await isAt(nyc, key, 'fra3.lab')
    await servers.kill('EU')
    await waitUntil('the relay knows', () => !fra.isConnected)
    const answers: Whereabouts[] = []
    fra.locate(keys[0] as Uint8Array, (where) => answers.push(where))
    expect(answers).toEqual([{ kind: 'unknown' }])
    expect(fra.health).toMatchObject({ isConnected: false, connects: 1, announced: 1_000 })
    await isAt(nyc, keys[0] as Uint8Array, undefined)
    const meanwhile = randomBytes(32)
    fra.announce(meanwhile)
    await servers.restart('EU')
    for (const key of [...keys, meanwhile]) await isAt(nyc, key, 'fra3.lab')
    expect(fra.health).toMatchObject({ isConnected: true, connects: 2 })
  })

  test('answers by the name that the relay has now, and tells who has asked before of the new one', async () => {
    let name = 'fra6.lab'
    const settings = { servers: [servers.url('EU')], ca: undefined, secret }
    const fra = await connected(opened('', { settings, name: () => name }))
    const nyc = await directoryOf('nyc6.lab', 'US')
    const key = randomBytes(32)
    fra.announce(key)
    await isAt(nyc, key, 'fra6.lab')
    const moves: (string | undefined)[] = []
    const unwatch = nyc.watch(key, (relay) => moves.push(relay))
    // The interest has reached the other region's server when a later announcement arrives.
    await waitUntil('it is told', () => {
      fra.renamed()
      return moves.length > 0
    })
    name = 'fra6.lab:8443'
    fra.renamed()
    await waitUntil('it is told of the new name', () => moves.at(-1) === 'fra6.lab:8443')
    await isAt(nyc, key, 'fra6.lab:8443')
    unwatch()
  })

  test('with too many questions at once can not say, which is not the same as nowhere', async () => {
    const fra = await directoryOf('fra7.lab', 'EU')
    const answers = await Promise.all(
      Array.from({ length: 2_100 }, async () => {
        const key = randomBytes(32)
        return await new Promise<Whereabouts>((resolve) => fra.locate(key, resolve))
      }),
    )
    const kinds = answers.map(({ kind }) => kind)
    expect(kinds.slice(2_000)).toEqual(Array.from({ length: 100 }, () => 'unknown'))
    expect(kinds.slice(0, 2_000)).toContain('nowhere')
    expect(fra.health.answers.unknown).toBeGreaterThanOrEqual(100)
  })

  test('that has been closed, or whose connection just has, throws nothing at whoever uses it', async () => {
    const fra = await directoryOf('fra8.lab', 'EU')
    const [known, other] = [randomBytes(32), randomBytes(32)]
    fra.announce(known)
    const unwatch = fra.watch(other, () => undefined)
    await waitUntil(
      'all is told',
      async () => (await located(await directoryOf('nyc8.lab', 'US'), known)) !== undefined,
    )
    const closing = fra.close()
    const answers: Whereabouts[] = []
    // The library has closed its connection and has not said so yet.
    fra.locate(other, (where) => answers.push(where))
    fra.withdraw(known)
    fra.announce(other)
    unwatch()
    fra.renamed()
    await closing
    fra.locate(other, (where) => answers.push(where))
    fra.announce(known)
    await waitUntil('both are answered', () => answers.length === 2)
    expect(answers).toEqual([{ kind: 'unknown' }, { kind: 'unknown' }])
  })

  test.each([
    ['says nothing', () => undefined, /timeout/i],
    ['speaks another protocol', (socket: Socket) => void socket.write('SSH-2.0-other\r\n'), /./],
    ['closes at once', (socket: Socket) => void socket.destroy(), /./],
    [
      'has no end of its first line',
      (socket: Socket) => void socket.write('INFO {'.padEnd(100_000, ' ')),
      /timeout|closed/i,
    ],
  ])('a server that %s is told of once, and another is found', async (_what, behave, reason) => {
    const bad = createServer((socket) => {
      socket.on('error', () => undefined)
      behave(socket)
    })
    bad.listen(0, '127.0.0.1')
    await once(bad, 'listening')
    const { port } = bad.address() as AddressInfo
    const told: [boolean, string][] = []
    const lonely = opened('ber9.lab', {
      settings: { servers: [`nats://127.0.0.1:${port}`], ca: undefined, secret },
      onConnected: (isConnected, detail) => told.push([isConnected, detail]),
    })
    const lucky = opened('fra9.lab', {
      settings: { servers: [`nats://127.0.0.1:${port}`, servers.url('EU')], ca: undefined, secret },
    })
    await waitUntil('the other server is found', () => lucky.isConnected, 30_000)
    await waitUntil('it is told', () => told.length > 0, 30_000)
    expect(told[0]).toEqual([false, expect.stringMatching(reason)])
    // Some more attempts, of a second or two each.
    await new Promise((resolve) => void setTimeout(resolve, 5_000))
    expect(told.length).toBeLessThanOrEqual(2)
    expect(lonely.health).toMatchObject({ isConnected: false, connects: 0 })
    await lonely.close()
    bad.close()
  })

  test('logs in over TLS with a credentials file, and with another one once the first is refused', async () => {
    const certificate = await makeCertificate(folder, 'localhost')
    const [operator, stranger] = [new NatsOperator(), new NatsOperator()]
    const tls = `tls { cert_file: "${certificate.certPath}", key_file: "${certificate.keyPath}" }`
    const more = `${tls}\n${operator.serverLines}`
    await using secured = await NatsServers.start(program, { folder, names: ['SAFE'], more })
    const ca = await readFile(certificate.certPath, 'utf8')
    const settings = { servers: [secured.url('SAFE', 'tls').replace('127.0.0.1', 'localhost')], ca, secret }
    const good = Buffer.from(operator.credentials())
    const fra = await connected(opened('fra5.lab', { settings, credentials: () => good }))
    let shown = Buffer.from(stranger.credentials())
    const reasons: string[] = []
    const onConnected = (isConnected: boolean, detail: string): void => {
      if (!isConnected) reasons.push(detail)
    }
    const nyc = opened('nyc5.lab', { settings, credentials: () => shown, onConnected })
    await waitUntil('it is refused', () => reasons.length > 0)
    expect(reasons[0]).toMatch(/authorization/i)
    shown = Buffer.from(operator.credentials())
    await connected(nyc)
    const key = randomBytes(32)
    fra.announce(key)
    await isAt(nyc, key, 'fra5.lab')
    const distrusted: string[] = []
    opened('ber5.lab', {
      settings: { ...settings, ca: undefined },
      credentials: () => good,
      onConnected: (_isConnected, detail) => distrusted.push(detail),
    })
    await waitUntil('the server is distrusted', () => distrusted.length > 0)
    expect(distrusted[0]).toMatch(/self-signed certificate/)
  })

  test('outlives a server that says nothing and one that says anything', async () => {
    // The library prints what it can't read; a relay makes lines of its log of that.
    using _quiet = vi.spyOn(console, 'log').mockImplementation(() => undefined)
    await using between = new Tamperer(servers.url('EU'))
    const settings = { servers: [await between.listen()], ca: undefined, secret }
    const fra = await connected(opened('fra6.lab', { settings }))
    const nyc = await directoryOf('nyc6.lab', 'US')
    const [here, there] = [randomBytes(32), randomBytes(32)]
    fra.announce(here)
    nyc.announce(there)
    await isAt(fra, there, 'nyc6.lab')
    between.isSilent = true
    expect(await located(fra, there)).toBeUndefined()
    between.isSilent = false
    const garbage = [
      randomBytes(100_000),
      'INFO {"max_payload":\r\n',
      'MSG derpfleet.at.x 1 -5\r\n',
      'HMSG a 1 900 20\r\nNATS/1.0\r\n\r\n',
      "-ERR 'Authorization Violation'\r\n",
    ]
    for (const bytes of garbage) {
      between.say(bytes)
      await waitUntil(
        'the key is found again',
        async () => (await located(fra, there)) === 'nyc6.lab',
        60_000,
      )
      await isAt(nyc, here, 'fra6.lab')
    }
  })

  test('has no homes of a relay thread that has died', async () => {
    const settings = { servers: [servers.url('EU')], ca: undefined, secret }
    const node = { name: 'fra10', hostname: 'fra10.lab', port: 443, meshHost: undefined, certName: undefined }
    const region = { id: 1, code: 'eu', name: 'Europe', nodes: [node] }
    const workers = observeWorkers()
    await using relay = await LiveRelay.start({
      hostname: 'fra10.lab',
      threadCount: 2,
      mesh: { ...NO_MESH, regions: [region], nats: { ...settings, credentials: undefined } },
    })
    const nyc = await directoryOf('nyc10.lab', 'US')
    const clients = await Promise.all(Array.from({ length: 12 }, async () => await relay.client()))
    for (const client of clients) client.notePreferred(true)
    for (const { publicKey } of clients) await isAt(nyc, publicKey, 'fra10.lab')
    const lost = new Set<DerpClient>()
    for (const client of clients) client.on('closed', () => lost.add(client))
    const [dying] = workers
    dying?.postMessage({ kind: 'unacknowledged', remotes: 7 })
    await waitUntil('its clients are lost', () => lost.size > 0)
    for (const client of clients) {
      await isAt(nyc, client.publicKey, lost.has(client) ? undefined : 'fra10.lab')
    }
    expect(lost.size).toBeLessThan(clients.length)
  })

  test('shows the servers no keys, and takes no garbage for a relay', async () => {
    const fra = await directoryOf('fra4.lab', 'EU')
    const spy = await connect({ servers: servers.url('EU') })
    const seen: string[] = []
    spy.subscribe('>', {
      callback: (_error, message) => {
        seen.push(message.subject)
        if (message.reply !== undefined && message.reply !== '') message.respond('no relay \u0000 at all')
      },
    })
    await spy.flush()
    const key = randomBytes(32)
    expect(await located(fra, key)).toBeUndefined()
    fra.announce(key)
    await waitUntil('it is announced', () => seen.some((subject) => subject.startsWith('derpfleet.moved.')))
    const text = seen.join('\n')
    expect(text).not.toContain(toHex(key).slice(0, 16))
    expect(text).toMatch(/^derpfleet\.at\.[0-9a-f]{32}$/m)
    await spy.close()
  })
})
