// The key directory with faulty NATS servers: they refuse logins, are not trusted, send nothing or send garbage. Also
// what servers learn of the keys.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type AddressInfo, connect as connectTcp, type Server, type Socket } from 'node:net'
import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { makeCertificate } from '../support/certificate.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { NatsServers } from '../support/nats.ts'
import { NatsOperator } from '../support/nats-credentials.ts'
import { NatsDirectories } from '../support/nats-directories.ts'
import { waitUntil } from '../support/process.ts'

const found = await foreignPrograms('nats-server')
const TIMEOUT_MS = 120_000
const program = 'paths' in found ? found.paths['nats-server'] : ''

/** A proxy between a relay and its NATS server: forwards all bytes, drops them, or sends others. */
class TamperingProxy implements AsyncDisposable {
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

  sendToRelays(bytes: Uint8Array | string): void {
    for (const relay of this.#relays) relay.write(bytes)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const relay of this.#relays) relay.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

describe.skipIf('missing' in found)(
  'a key directory with faulty NATS servers',
  { timeout: TIMEOUT_MS },
  () => {
    let directories: NatsDirectories

    // The library prints what it cannot parse; a relay makes log lines of it.
    const quiet = vi.spyOn(console, 'log').mockImplementation(() => undefined)

    beforeAll(async () => {
      directories = await NatsDirectories.start(program)
    }, TIMEOUT_MS)

    afterAll(async () => {
      await directories?.[Symbol.asyncDispose]()
      quiet.mockRestore()
    })

    // Side by side: each waits for timeouts.
    test.concurrent.each([
      ['sends nothing', 'a', () => undefined, /timeout/i],
      ['speaks another protocol', 'b', (socket: Socket) => void socket.write('SSH-2.0-other\r\n'), /./],
      ['closes at once', 'c', (socket: Socket) => void socket.destroy(), /./],
      [
        'never ends its first line',
        'd',
        (socket: Socket) => void socket.write('INFO {'.padEnd(100_000, ' ')),
        /timeout|closed/i,
      ],
    ])(
      'a server that %s is reported once, and another server is used',
      async (_what, name, behave, reason) => {
        const bad = createServer((socket) => {
          socket.on('error', () => undefined)
          behave(socket)
        })
        bad.listen(0, '127.0.0.1')
        await once(bad, 'listening')
        const { port } = bad.address() as AddressInfo
        const reports: [boolean, string][] = []
        const withoutOther = directories.opened(`ber9${name}.lab`, {
          settings: { servers: [`nats://127.0.0.1:${port}`], ca: undefined, secret: directories.secret },
          onConnected: (isConnected, detail) => reports.push([isConnected, detail]),
        })
        const withOther = directories.opened(`fra9${name}.lab`, {
          settings: {
            servers: [`nats://127.0.0.1:${port}`, directories.servers.url('EU')],
            ca: undefined,
            secret: directories.secret,
          },
        })
        await waitUntil('the other server is used', () => withOther.isConnected, 30_000)
        await waitUntil('the fault is reported', () => reports.length > 0, 30_000)
        expect(reports[0]).toEqual([false, expect.stringMatching(reason)])
        // Time for further attempts, each of a second or two.
        await new Promise((resolve) => void setTimeout(resolve, 5_000))
        expect(reports.length).toBeLessThanOrEqual(2)
        expect(withoutOther.health).toMatchObject({ isConnected: false, connects: 0 })
        await withoutOther.close()
        bad.close()
      },
    )

    test.concurrent('logs in over TLS with a credentials file, and with a new file after the first is refused', async () => {
      const certificate = await makeCertificate(directories.folder, 'localhost')
      const [operator, otherOperator] = [new NatsOperator(), new NatsOperator()]
      const tls = `tls { cert_file: "${certificate.certPath}", key_file: "${certificate.keyPath}" }`
      const more = `${tls}\n${operator.serverLines}`
      await using secured = await NatsServers.start(program, {
        folder: directories.folder,
        names: ['SAFE'],
        more,
      })
      const ca = await readFile(certificate.certPath, 'utf8')
      const settings = {
        servers: [secured.url('SAFE', 'tls').replace('127.0.0.1', 'localhost')],
        ca,
        secret: directories.secret,
      }
      const good = Buffer.from(operator.credentials())
      const fra = await directories.connected(
        directories.opened('fra5.lab', { settings, credentials: () => good }),
      )
      let current = Buffer.from(otherOperator.credentials())
      const reasons: string[] = []
      const onConnected = (isConnected: boolean, detail: string): void => {
        if (!isConnected) reasons.push(detail)
      }
      const nyc = directories.opened('nyc5.lab', { settings, credentials: () => current, onConnected })
      await waitUntil('the login is refused', () => reasons.length > 0)
      expect(reasons[0]).toMatch(/authorization/i)
      current = Buffer.from(operator.credentials())
      await directories.connected(nyc)
      const key = randomBytes(32)
      fra.announce(key)
      await directories.isAt(nyc, key, 'fra5.lab')
      const failures: string[] = []
      directories.opened('ber5.lab', {
        settings: { ...settings, ca: undefined },
        credentials: () => good,
        onConnected: (_isConnected, detail) => failures.push(detail),
      })
      await waitUntil('the certificate is refused', () => failures.length > 0)
      expect(failures[0]).toMatch(/self-signed certificate/)
    })

    test.concurrent.each([
      ['nothing', 'g', ''],
      ['noise', 'h', randomBytes(100_000)],
      ['half a JSON object', 'i', 'INFO {"max_payload":\r\n'],
      ['a message of negative length', 'j', 'MSG derpfleet.at.x 1 -5\r\n'],
      ['a message that is longer than its length', 'k', 'HMSG a 1 900 20\r\nNATS/1.0\r\n\r\n'],
      ['an error', 'l', "-ERR 'Authorization Violation'\r\n"],
    ])('recovers from a server that sends %s', async (_what, name, bytes) => {
      await using proxy = new TamperingProxy(directories.servers.url('EU'))
      const settings = { servers: [await proxy.listen()], ca: undefined, secret: directories.secret }
      const fra = await directories.connected(directories.opened(`fra6${name}.lab`, { settings }))
      const nyc = await directories.of(`nyc6${name}.lab`, 'US')
      const [here, there] = [randomBytes(32), randomBytes(32)]
      fra.announce(here)
      nyc.announce(there)
      await directories.isAt(fra, there, `nyc6${name}.lab`)
      proxy.isSilent = true
      expect(await directories.located(fra, there)).toBeUndefined()
      proxy.isSilent = false
      if (bytes.length > 0) proxy.sendToRelays(bytes)
      await waitUntil(
        'the key is found again',
        async () => (await directories.located(fra, there)) === `nyc6${name}.lab`,
        60_000,
      )
      await directories.isAt(nyc, here, `fra6${name}.lab`)
    })

    test('shows no keys to the servers, and accepts no garbage as a relay name', async () => {
      const fra = await directories.of('fra4.lab', 'EU')
      const spy = await connect({ servers: directories.servers.url('EU') })
      const seen: string[] = []
      spy.subscribe('>', {
        callback: (_error, message) => {
          seen.push(message.subject)
          if (message.reply !== undefined && message.reply !== '') message.respond('no relay \u0000 at all')
        },
      })
      await spy.flush()
      const key = randomBytes(32)
      expect(await directories.located(fra, key)).toBeUndefined()
      fra.announce(key)
      await waitUntil('the key is announced', () =>
        seen.some((subject) => subject.startsWith('derpfleet.moved.')),
      )
      const text = seen.join('\n')
      expect(text).not.toContain(toHex(key).slice(0, 16))
      expect(text).toMatch(/^derpfleet\.at\.[0-9a-f]{32}$/m)
      await spy.close()
    })
  },
)
