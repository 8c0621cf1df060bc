// The key directory over real NATS servers, two of them, joined by a gateway: one for each region.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { NatsDirectory } from '#mesh/nats-directory.ts'
import { toHex } from '#protocol/bytes.ts'
import { foreigners } from '../support/foreign.ts'
import { NatsServers } from '../support/nats.ts'
import { waitUntil } from '../support/process.ts'

const found = await foreigners('nats-server')
const TIMEOUT_MS = 60_000
const secret = randomBytes(32)

describe.skipIf('missing' in found)('a key directory over NATS', { timeout: TIMEOUT_MS }, () => {
  let folder: string
  let servers: NatsServers
  const open: NatsDirectory[] = []

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nats-'))
    const program = 'paths' in found ? found.paths['nats-server'] : ''
    servers = await NatsServers.start(program, { folder, names: ['EU', 'US'] })
  }, TIMEOUT_MS)

  afterAll(async () => {
    await Promise.all(open.map(async (directory) => await directory.close()))
    await servers?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  })

  /** A relay's directory; the server of its region comes first. */
  async function directoryOf(name: string, region: string): Promise<NatsDirectory> {
    const directory = new NatsDirectory({
      settings: { servers: [servers.url(region)], credentials: undefined, ca: undefined, secret },
      name,
      onConnected: () => undefined,
    })
    open.push(directory)
    await waitUntil(`${name} is connected`, () => directory.isConnected)
    return directory
  }

  async function located(directory: NatsDirectory, key: Uint8Array): Promise<string | undefined> {
    return await new Promise((resolve) => directory.locate(key, resolve))
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
    const moves: string[] = []
    const unwatch = fra.watch(key, (relay) => moves.push(relay))
    await located(fra, key)
    await waitUntil('it is told', () => {
      nyc.withdraw(key)
      nyc.announce(key)
      return moves.includes('nyc2.lab')
    })
    unwatch()
  })

  test('answers nowhere at once while its server is away, and announces everything again after', async () => {
    const [fra, nyc] = [await directoryOf('fra3.lab', 'EU'), await directoryOf('nyc3.lab', 'US')]
    const keys = Array.from({ length: 1_000 }, () => randomBytes(32))
    for (const key of keys) fra.announce(key)
    for (const key of keys) await isAt(nyc, key, 'fra3.lab')
    await servers.kill('EU')
    await waitUntil('the relay knows', () => !fra.isConnected)
    const answers: (string | undefined)[] = []
    fra.locate(keys[0] as Uint8Array, (relay) => answers.push(relay))
    expect(answers).toEqual([undefined])
    await isAt(nyc, keys[0] as Uint8Array, undefined)
    const meanwhile = randomBytes(32)
    fra.announce(meanwhile)
    await servers.restart('EU')
    for (const key of [...keys, meanwhile]) await isAt(nyc, key, 'fra3.lab')
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
