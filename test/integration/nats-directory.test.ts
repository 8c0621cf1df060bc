// The key directory over real NATS servers: locations of keys while relays connect, change and disconnect.

import { createHmac, randomBytes } from 'node:crypto'
import { connect } from '@nats-io/transport-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DerpClient } from '#client/derp-client.ts'
import type { KeyLocation } from '#mesh/key-directory.ts'
import { toHex } from '#protocol/bytes.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { LiveRelay, NO_MESH } from '../support/live-relay.ts'
import { NatsDirectories } from '../support/nats-directories.ts'
import { causeFault, observeWorkers } from '../support/observed-workers.ts'
import { waitUntil } from '../support/process.ts'

const found = await foreignPrograms('nats-server')
const TIMEOUT_MS = 120_000
const program = 'paths' in found ? found.paths['nats-server'] : ''

describe.skipIf('missing' in found)('a key directory over NATS', { timeout: TIMEOUT_MS }, () => {
  let directories: NatsDirectories

  beforeAll(async () => {
    directories = await NatsDirectories.start(program)
  }, TIMEOUT_MS)

  afterAll(async () => await directories?.[Symbol.asyncDispose]())

  test('locates a key from the same region and from another one', async () => {
    const [fra, nyc, ber] = [
      await directories.of('fra1.lab', 'EU'),
      await directories.of('nyc1.lab:8443', 'US'),
      await directories.of('ber1.lab/10.0.0.2', 'EU'),
    ]
    const [here, there] = [randomBytes(32), randomBytes(32)]
    // A key that is announced twice is announced once.
    for (let times = 0; times < 2; times++) fra.announce(here)
    nyc.announce(there)
    await directories.isAt(ber, here, 'fra1.lab')
    await directories.isAt(nyc, here, 'fra1.lab')
    await directories.isAt(fra, there, 'nyc1.lab:8443')
    expect(await directories.located(nyc, randomBytes(32))).toBeUndefined()
    fra.withdraw(here)
    await directories.isAt(nyc, here, undefined)
    ber.announce(here)
    await directories.isAt(nyc, here, 'ber1.lab/10.0.0.2')
    ber.withdraw(here)
    await directories.isAt(nyc, here, undefined)
    // The key returns to its first relay.
    fra.announce(here)
    await directories.isAt(nyc, here, 'fra1.lab')
    expect(fra.health.announced).toBe(1)
  })

  test('carries the states of relays to all others, also after a server was lost, and of nobody without the secret', async () => {
    const heard: string[] = []
    const settings = { servers: [directories.servers.url('US')], ca: undefined, secret: directories.secret }
    const onState = ({ state }: { state: Uint8Array }): void => void heard.push(Buffer.from(state).toString())
    const nyc = await directories.connected(directories.opened('nyc3.lab', { settings, onState }))
    const fra = await directories.of('fra3.lab', 'EU')
    const key = randomBytes(32)
    const outsider = await connect({ servers: directories.servers.url('EU') })
    try {
      await waitUntil('a state arrives in the other region', () => {
        outsider.publish('derpfleet.state', Buffer.concat([randomBytes(64), Buffer.from('forged')]))
        fra.tellState({ key, state: Buffer.from('first') })
        return heard.includes('first')
      })
      await directories.servers.kill('US')
      await waitUntil('the server is lost', () => !nyc.isConnected)
      nyc.tellState({ key, state: Buffer.from('to nobody') })
      await directories.servers.restart('US')
      await waitUntil(
        'states arrive again',
        () => {
          fra.tellState({ key, state: Buffer.from('second') })
          return heard.includes('second')
        },
        30_000,
      )
      expect(new Set(heard)).toEqual(new Set(['first', 'second']))
    } finally {
      await outsider.close()
    }
  })

  test('notifies a relay that has looked up a key when the key moves', async () => {
    const [fra, nyc] = [await directories.of('fra2.lab', 'EU'), await directories.of('nyc2.lab', 'US')]
    const key = randomBytes(32)
    const moves: (string | undefined)[] = []
    const unwatch = fra.watch(key, (relay) => moves.push(relay))
    await directories.located(fra, key)
    await waitUntil('the relay is notified', () => {
      nyc.withdraw(key)
      nyc.announce(key)
      return moves.includes('nyc2.lab')
    })
    nyc.withdraw(key)
    await waitUntil('the relay is notified that the key has left', () => moves.at(-1) === undefined)
    unwatch()
    const moveCount = moves.length
    const others: (string | undefined)[] = []
    const unwatchOther = fra.watch(key, (relay) => others.push(relay))
    await waitUntil('another watch is notified', () => {
      nyc.withdraw(key)
      nyc.announce(key)
      return others.includes('nyc2.lab')
    })
    expect(moves.length).toBe(moveCount)
    unwatchOther()
  })

  test('does not notify a relay that a key has moved to that relay', async () => {
    const [fra, twin, nyc] = [
      await directories.of('fra11.lab', 'EU'),
      await directories.of('fra11.lab', 'US'),
      await directories.of('nyc11.lab', 'US'),
    ]
    const key = randomBytes(32)
    const moves: (string | undefined)[] = []
    const unwatch = fra.watch(key, (relay) => moves.push(relay))
    await waitUntil('the relay is notified of the move to another relay', () => {
      twin.withdraw(key)
      twin.announce(key)
      nyc.withdraw(key)
      nyc.announce(key)
      return moves.includes('nyc11.lab')
    })
    expect(moves).not.toContain('fra11.lab')
    unwatch()
    // A relay is not notified of its own announcements either.
    const [own, later] = [randomBytes(32), randomBytes(32)]
    const ownMoves: (string | undefined)[] = []
    const unwatchOwn = fra.watch(own, (relay) => ownMoves.push(relay))
    for (const action of ['announce', 'withdraw', 'announce', 'withdraw'] as const) {
      fra[action](own)
      fra.announce(later)
      await directories.isAt(nyc, later, 'fra11.lab')
      fra.withdraw(later)
      await directories.isAt(nyc, later, undefined)
    }
    expect(ownMoves).toEqual([])
    unwatchOwn()
  })

  test('returns unknown at once while its server is down, and then announces all keys again', async () => {
    const losses: string[] = []
    const settings = { servers: [directories.servers.url('EU')], ca: undefined, secret: directories.secret }
    const onConnected = (isConnected: boolean, detail: string): void => {
      if (!isConnected) losses.push(detail)
    }
    const fra = await directories.connected(directories.opened('fra3.lab', { settings, onConnected }))
    const nyc = await directories.of('nyc3.lab', 'US')
    const keys = Array.from({ length: 1_000 }, () => randomBytes(32))
    for (const key of keys) fra.announce(key)
    for (const key of keys) await directories.isAt(nyc, key, 'fra3.lab')
    await directories.servers.kill('EU')
    await waitUntil('the relay has noticed the outage', () => !fra.isConnected)
    const locations: KeyLocation[] = []
    fra.locate(keys[0] as Uint8Array, (where) => locations.push(where))
    expect(locations).toEqual([{ kind: 'unknown' }])
    expect(fra.health).toMatchObject({ isConnected: false, connects: 1, announced: 1_000 })
    await directories.isAt(nyc, keys[0] as Uint8Array, undefined)
    const meanwhile = randomBytes(32)
    fra.announce(meanwhile)
    await directories.servers.restart('EU')
    for (const key of [...keys, meanwhile]) await directories.isAt(nyc, key, 'fra3.lab')
    expect(fra.health).toMatchObject({ isConnected: true, connects: 2 })
    // Each key is announced once: the library has not repeated its earlier subscriptions as well.
    const client = await connect({ servers: directories.servers.url('US') })
    const hash = createHmac('sha256', directories.secret)
      .update(keys[0] as Uint8Array)
      .digest()
    const subject = `derpfleet.at.${toHex(hash.subarray(0, 16))}`
    let relays = 0
    for await (const _ of await client.requestMany(subject, undefined, { maxWait: 500 })) relays++
    expect(relays).toBe(1)
    await client.close()
    // A second outage is reported like the first.
    await directories.servers.kill('EU')
    await waitUntil('the second outage is reported', () => losses.length === 2)
    expect(losses[1]).toBe(losses[0])
    await directories.servers.restart('EU')
    await waitUntil('it is connected again', () => fra.isConnected)
  })

  test("responds with the relay's current name, and notifies earlier lookups of a new name", async () => {
    let name = 'fra6.lab'
    const settings = { servers: [directories.servers.url('EU')], ca: undefined, secret: directories.secret }
    const fra = await directories.connected(directories.opened('', { settings, name: () => name }))
    const nyc = await directories.of('nyc6.lab', 'US')
    const key = randomBytes(32)
    fra.announce(key)
    await directories.isAt(nyc, key, 'fra6.lab')
    const moves: (string | undefined)[] = []
    const unwatch = nyc.watch(key, (relay) => moves.push(relay))
    // The subscription has reached the other region's server once an announcement arrives.
    await waitUntil('the watch is notified', () => {
      fra.renamed()
      return moves.length > 0
    })
    name = 'fra6.lab:8443'
    fra.renamed()
    await waitUntil('the watch is notified of the new name', () => moves.at(-1) === 'fra6.lab:8443')
    await directories.isAt(nyc, key, 'fra6.lab:8443')
    unwatch()
  })

  test('returns unknown, not nowhere, for too many lookups at a time', async () => {
    const fra = await directories.of('fra7.lab', 'EU')
    const kinds: KeyLocation['kind'][] = []
    for (let count = 0; count < 2_100; count++) fra.locate(randomBytes(32), ({ kind }) => kinds.push(kind))
    // Those beyond the limit return at once, without a request.
    expect(kinds).toEqual(Array.from({ length: 100 }, () => 'unknown'))
    await waitUntil('the others have returned', () => kinds.length === 2_100)
    expect(kinds).toContain('nowhere')
    expect(fra.health.answers.unknown).toBeGreaterThanOrEqual(100)
  })

  test('does not throw after it, or its connection, was closed', async () => {
    const fra = await directories.of('fra8.lab', 'EU')
    const [known, other] = [randomBytes(32), randomBytes(32)]
    fra.announce(known)
    const unwatch = fra.watch(other, () => undefined)
    await waitUntil(
      'the key is announced',
      async () => (await directories.located(await directories.of('nyc8.lab', 'US'), known)) !== undefined,
    )
    const closing = fra.close()
    const locations: KeyLocation[] = []
    // The library has closed its connection and has not reported it yet.
    fra.locate(other, (where) => locations.push(where))
    fra.withdraw(known)
    fra.announce(other)
    unwatch()
    fra.renamed()
    await closing
    fra.locate(other, (where) => locations.push(where))
    fra.announce(known)
    await waitUntil('both lookups have returned', () => locations.length === 2)
    expect(locations).toEqual([{ kind: 'unknown' }, { kind: 'unknown' }])
  })

  test('tells relays of different regions of each other, which have no link', async () => {
    const regions = ['fra11', 'nyc11'].map((name, at) => ({
      id: 900 + at,
      code: name,
      name,
      nodes: [{ name, hostname: `${name}.lab` }],
    }))
    const start = async (name: string, server: string): Promise<LiveRelay> =>
      await LiveRelay.start({
        hostname: `${name}.lab`,
        threadCount: 1,
        admin: { host: '127.0.0.1', port: 0 },
        mesh: {
          ...NO_MESH,
          regions,
          nats: {
            servers: [directories.servers.url(server)],
            ca: undefined,
            secret: directories.secret,
            credentials: undefined,
          },
        },
      })
    await using fra = await start('fra11', 'EU')
    const stateOf = async (name: string): Promise<string> => {
      const { relays } = JSON.parse(await fra.page('/fleet')) as {
        relays: { name: string; knownBy: string; state: string }[]
      }
      const { knownBy = '', state = '' } = relays.find((one) => one.name === `${name}.lab`) ?? {}
      return `${knownBy} ${state}`
    }
    expect(await stateOf('nyc11')).toBe('none up')
    {
      await using _nyc = await start('nyc11', 'US')
      await waitUntil('it is heard', async () => (await stateOf('nyc11')) === 'state up', 20_000)
    }
    await waitUntil('it has ended', async () => (await stateOf('nyc11')) === 'state down')
  })

  test('withdraws the keys of a relay thread that has died', async () => {
    const settings = { servers: [directories.servers.url('EU')], ca: undefined, secret: directories.secret }
    const node = { name: 'fra10', hostname: 'fra10.lab', port: 443, meshHost: undefined, certName: undefined }
    const region = { id: 1, code: 'eu', name: 'Europe', nodes: [node] }
    const workers = observeWorkers()
    await using relay = await LiveRelay.start({
      hostname: 'fra10.lab',
      threadCount: 2,
      mesh: { ...NO_MESH, regions: [region], nats: { ...settings, credentials: undefined } },
    })
    const nyc = await directories.of('nyc10.lab', 'US')
    const clients = await Promise.all(Array.from({ length: 12 }, async () => await relay.client()))
    for (const client of clients) client.notePreferred(true)
    for (const { publicKey } of clients) await directories.isAt(nyc, publicKey, 'fra10.lab')
    const disconnected = new Set<DerpClient>()
    for (const client of clients) client.on('closed', () => disconnected.add(client))
    const [dying] = workers
    causeFault(dying)
    await waitUntil('its clients are disconnected', () => disconnected.size > 0)
    for (const client of clients) {
      await directories.isAt(nyc, client.publicKey, disconnected.has(client) ? undefined : 'fra10.lab')
    }
    expect(disconnected.size).toBeLessThan(clients.length)
  })
})
