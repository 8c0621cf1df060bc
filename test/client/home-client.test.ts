// A client of a map, with real relays on loopback: there all regions are equally near, and scores make one nearer.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { HomeClient, type RelayMap } from '#client/home-client.ts'
import type { MapRegion } from '#client/relay-map.ts'
import { OwnRelays } from '../support/own-relays.ts'
import { freePort } from '../support/process.ts'

let relays: OwnRelays

beforeAll(async () => {
  relays = await OwnRelays.start(2)
})

afterAll(async () => await relays[Symbol.asyncDispose]())

function region(
  id: number,
  ...ports: readonly { readonly port: number; readonly stunPort: number }[]
): MapRegion {
  const nodes = ports.map(({ port, stunPort }, i) => ({
    name: `${id}${'ab'[i]}`,
    hostname: 'localhost',
    ipv4: '127.0.0.1',
    ipv6: 'none',
    derpPort: port,
    stunPort,
    isInsecureForTests: true,
  }))
  return { id, code: `r${id}`, nodes }
}

/** A map of two regions, in which one is a thousand times nearer. */
function mapNear(near: number, regions: readonly MapRegion[]): RelayMap {
  return { regions, regionScores: new Map(regions.map(({ id }) => [id, id === near ? 1 : 100_000])) }
}

test('connects to its home, moves with the map, and packets find it', async () => {
  const [one, other] = [relays.at(0), relays.at(1)]
  const regions = [region(900, one), region(901, other)]
  await using alice = new HomeClient({ map: mapNear(900, regions) })
  await using bob = new HomeClient({ map: mapNear(901, regions) })
  const isBobHome = bob.next('connected')
  const isHome = alice.next('connected')
  alice.start()
  bob.start()
  await isHome
  await isBobHome
  expect([alice.home?.id, bob.home?.id]).toEqual([900, 901])
  const moved = alice.next('home')
  const isThere = alice.next('connected')
  alice.setMap(mapNear(901, regions))
  expect((await moved).id).toBe(901)
  await isThere
  const received = bob.next('packet')
  expect(alice.send(bob.publicKey, Buffer.from('hello'))).toBe(true)
  expect((await received).packet.toString()).toBe('hello')
})

test('goes to the next node of the region if the first accepts no connection', async () => {
  const one = relays.at(0)
  const closed = { port: await freePort(), stunPort: one.stunPort }
  await using client = new HomeClient({ map: { regions: [region(900, closed, one)] } })
  const isConnected = client.next('connected')
  client.start()
  await isConnected
  expect(client.client?.client.serverKey).toEqual(new Uint8Array(Buffer.from(one.publicKey, 'hex')))
})

test('finds its home by HTTPS where no region answers STUN, and passes a drained region over', async () => {
  const one = relays.at(0)
  const dead = { port: one.port, stunPort: await freePort() }
  const drained = { ...region(901, one), state: 'draining' }
  await using client = new HomeClient({ map: { regions: [region(900, dead), drained] } })
  const measured = client.next('measured')
  const home = client.next('home')
  client.start()
  expect(await measured).toMatchObject({ home: 900, reason: 'first' })
  expect((await home).id).toBe(900)
})
