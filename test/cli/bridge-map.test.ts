// Bridges that find their relay by a DERP map: two relays on loopback, and a map that changes while the bridges run.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { Bridge } from '#bridge/bridge.ts'
import { RouteGuard } from '#bridge/route-guard.ts'
import { relayWayOf } from '#cli/bridge-relay.ts'
import { newKeyPair } from '#client/derp-client.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { OwnRelays } from '../support/own-relays.ts'
import { waitUntil } from '../support/process.ts'

let folder: TemporaryFolder
let relays: OwnRelays

beforeAll(async () => {
  folder = new TemporaryFolder()
  relays = await OwnRelays.start(2)
})

afterAll(async () => {
  await relays[Symbol.asyncDispose]()
  folder[Symbol.dispose]()
})

/** A map of one region, with one of the two relays. */
function mapOf(at: 0 | 1): string {
  const [id, relay] = [900 + at, relays.at(at)]
  const node = {
    Name: `${id}a`,
    RegionID: id,
    HostName: 'localhost',
    IPv4: '127.0.0.1',
    IPv6: 'none',
    DERPPort: relay.port,
    STUNPort: relay.stunPort,
    InsecureForTests: true,
  }
  const region = { RegionID: id, RegionCode: `r${id}`, RegionName: `Region ${id}`, Nodes: [node] }
  return JSON.stringify({ Regions: { [id]: region } })
}

interface Asked {
  readonly path: string
  readonly vpnPort?: number
  readonly log?: string[]
}

async function bridgeOf(key: KeyPair, peer: KeyPair, { path, vpnPort, log = [] }: Asked): Promise<Bridge> {
  const settings = {
    name: 'test',
    key,
    mode: 'relay',
    isDirectTried: false,
    interfaceName: undefined,
    peers: [
      {
        name: 'peer',
        key: peer.publicKey,
        listen: { host: '127.0.0.1', port: 0 },
        vpn: vpnPort === undefined ? undefined : { host: '127.0.0.1', port: vpnPort },
        flowsMax: 1,
        wg: undefined,
      },
    ],
    queueBytesMax: 65_536,
  } as const
  const relay = await relayWayOf(
    {
      settings,
      relay: { urls: [], tls: { isInsecure: false }, proxy: undefined },
      map: { kind: 'map-file', path },
      authorities: [],
    },
    new RouteGuard('', []),
    (text) => log.push(text),
    100,
  )
  const bridge = new Bridge(settings, {
    relay,
    wg: undefined,
    isInside: () => false,
    log: (text) => log.push(text),
  })
  await bridge.start()
  onTestFinished(async () => await bridge.stop())
  return bridge
}

test('bridges move with their map, and a map that cannot be used changes nothing', async () => {
  const path = folder.at('map.json')
  await writeFile(path, mapOf(0))
  const server = createSocket('udp4')
  const got: string[] = []
  server.on('message', (packet) => got.push(packet.toString()))
  server.bind(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const [alice, bob] = [newKeyPair(), newKeyPair()]
  const log: string[] = []
  const here = await bridgeOf(alice, bob, { path, log })
  const there = await bridgeOf(bob, alice, { path, vpnPort: server.address().port })
  const passes = async (text: string): Promise<void> =>
    await waitUntil(
      `${text} passes`,
      async () => {
        server.send(text, here.peers[0]?.port ?? 0, '127.0.0.1')
        await sleep(50)
        return got.includes(text)
      },
      20_000,
    )
  await passes('one')
  await writeFile(path, mapOf(1))
  await waitUntil('both are on the other relay', () => here.connects === 2 && there.connects === 2, 20_000)
  await passes('two')
  await writeFile(path, '{"Regions": {}}')
  await waitUntil('the map is refused', () => log.some((text) => text.startsWith('the last map stays')))
  await passes('three')
  await rm(path)
  await sleep(300)
  await passes('four')
  expect([here.connects, there.connects]).toEqual([2, 2])
})

test('without a map to begin with, it does not start', async () => {
  const [alice, bob] = [newKeyPair(), newKeyPair()]
  await expect(bridgeOf(alice, bob, { path: folder.at('nothing.json') })).rejects.toThrow(
    'the map cannot be used',
  )
})
