// The key directory over real NATS servers: where keys are, as relays come, move and go.

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

  test('says where a key is, from the same region and from another', async () => {
    const [fra, nyc, ber] = [
      await directories.of('fra1.lab', 'EU'),
      await directories.of('nyc1.lab:8443', 'US'),
      await directories.of('ber1.lab/10.0.0.2', 'EU'),
    ]
    const [here, there] = [randomBytes(32), randomBytes(32)]
    // Noted more than once, it is there once.
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
    // And back where it was first.
    fra.announce(here)
    await directories.isAt(nyc, here, 'fra1.lab')
    expect(fra.health.announced).toBe(1)
  })

  test('tells who asked that a key has moved', async () => {
    const [fra, nyc] = [await directories.of('fra2.lab', 'EU'), await directories.of('nyc2.lab', 'US')]
    const key = randomBytes(32)
    const moves: (string | undefined)[] = []
    const unwatch = fra.watch(key, (relay) => moves.push(relay))
    await directories.located(fra, key)
    await waitUntil('it is told', () => {
      nyc.withdraw(key)
      nyc.announce(key)
      return moves.includes('nyc2.lab')
    })
    nyc.withdraw(key)
    await waitUntil('it is told that it has left', () => moves.at(-1) === undefined)
    unwatch()
    const told = moves.length
    const others: (string | undefined)[] = []
    const unwatchOther = fra.watch(key, (relay) => others.push(relay))
    await waitUntil('somebody else is told', () => {
      nyc.withdraw(key)
      nyc.announce(key)
      return others.includes('nyc2.lab')
    })
    expect(moves.length).toBe(told)
    unwatchOther()
  })

  test('tells nobody that a key has come to itself', async () => {
    const [fra, twin, nyc] = [
      await directories.of('fra11.lab', 'EU'),
      await directories.of('fra11.lab', 'US'),
      await directories.of('nyc11.lab', 'US'),
    ]
    const key = randomBytes(32)
    const moves: (string | undefined)[] = []
    const unwatch = fra.watch(key, (relay) => moves.push(relay))
    await waitUntil('it is told of another', () => {
      twin.withdraw(key)
      twin.announce(key)
      nyc.withdraw(key)
      nyc.announce(key)
      return moves.includes('nyc11.lab')
    })
    expect(moves).not.toContain('fra11.lab')
    unwatch()
    // Nor what it says itself.
    const [own, later] = [randomBytes(32), randomBytes(32)]
    const heard: (string | undefined)[] = []
    const unwatchOwn = fra.watch(own, (relay) => heard.push(relay))
    for (const say of ['announce', 'withdraw', 'announce', 'withdraw'] as const) {
      fra[say](own)
      fra.announce(later)
      await directories.isAt(nyc, later, 'fra11.lab')
      fra.withdraw(later)
      await directories.isAt(nyc, later, undefined)
    }
    expect(heard).toEqual([])
    unwatchOwn()
  })

  test('can not say at once while its server is away, and announces everything again after', async () => {
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
    await waitUntil('the relay knows', () => !fra.isConnected)
    const answers: KeyLocation[] = []
    fra.locate(keys[0] as Uint8Array, (where) => answers.push(where))
    expect(answers).toEqual([{ kind: 'unknown' }])
    expect(fra.health).toMatchObject({ isConnected: false, connects: 1, announced: 1_000 })
    await directories.isAt(nyc, keys[0] as Uint8Array, undefined)
    const meanwhile = randomBytes(32)
    fra.announce(meanwhile)
    await directories.servers.restart('EU')
    for (const key of [...keys, meanwhile]) await directories.isAt(nyc, key, 'fra3.lab')
    expect(fra.health).toMatchObject({ isConnected: true, connects: 2 })
    // Each once: the library has not told the server of those that were there before, too.
    const asker = await connect({ servers: directories.servers.url('US') })
    const hash = createHmac('sha256', directories.secret)
      .update(keys[0] as Uint8Array)
      .digest()
    const subject = `derpfleet.at.${toHex(hash.subarray(0, 16))}`
    let relays = 0
    for await (const _ of await asker.requestMany(subject, undefined, { maxWait: 500 })) relays++
    expect(relays).toBe(1)
    await asker.close()
    // A second outage is told of as the first was.
    await directories.servers.kill('EU')
    await waitUntil('it is told again', () => losses.length === 2)
    expect(losses[1]).toBe(losses[0])
    await directories.servers.restart('EU')
    await waitUntil('it is there again', () => fra.isConnected)
  })

  test('answers by the name that the relay has now, and tells who has asked before of the new one', async () => {
    let name = 'fra6.lab'
    const settings = { servers: [directories.servers.url('EU')], ca: undefined, secret: directories.secret }
    const fra = await directories.connected(directories.opened('', { settings, name: () => name }))
    const nyc = await directories.of('nyc6.lab', 'US')
    const key = randomBytes(32)
    fra.announce(key)
    await directories.isAt(nyc, key, 'fra6.lab')
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
    await directories.isAt(nyc, key, 'fra6.lab:8443')
    unwatch()
  })

  test('with too many questions at once can not say, which is not the same as nowhere', async () => {
    const fra = await directories.of('fra7.lab', 'EU')
    const answers: KeyLocation['kind'][] = []
    for (let asked = 0; asked < 2_100; asked++) fra.locate(randomBytes(32), ({ kind }) => answers.push(kind))
    // At once, without a question.
    expect(answers).toEqual(Array.from({ length: 100 }, () => 'unknown'))
    await waitUntil('the others are answered', () => answers.length === 2_100)
    expect(answers).toContain('nowhere')
    expect(fra.health.answers.unknown).toBeGreaterThanOrEqual(100)
  })

  test('that has been closed, or whose connection just has, throws nothing at whoever uses it', async () => {
    const fra = await directories.of('fra8.lab', 'EU')
    const [known, other] = [randomBytes(32), randomBytes(32)]
    fra.announce(known)
    const unwatch = fra.watch(other, () => undefined)
    await waitUntil(
      'all is told',
      async () => (await directories.located(await directories.of('nyc8.lab', 'US'), known)) !== undefined,
    )
    const closing = fra.close()
    const answers: KeyLocation[] = []
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

  test('has no homes of a relay thread that has died', async () => {
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
    const lost = new Set<DerpClient>()
    for (const client of clients) client.on('closed', () => lost.add(client))
    const [dying] = workers
    causeFault(dying)
    await waitUntil('its clients are lost', () => lost.size > 0)
    for (const client of clients) {
      await directories.isAt(nyc, client.publicKey, lost.has(client) ? undefined : 'fra10.lab')
    }
    expect(lost.size).toBeLessThan(clients.length)
  })
})
