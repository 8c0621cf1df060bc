// Two bridges at a real relay, with plain UDP sockets in place of a VPN: what passes, what is kept apart, what is refused.

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { Bridge } from '#bridge/bridge.ts'
import { wayByUrls } from '#bridge/relay-way.ts'
import type { BridgePeerSettings } from '#bridge/settings.ts'
import { newKeyPair } from '#client/derp-client.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { LiveRelay } from '../support/live-relay.ts'
import { waitUntil } from '../support/process.ts'

let relay: LiveRelay

beforeAll(async () => {
  relay = await LiveRelay.start()
})

afterAll(async () => {
  await relay?.[Symbol.asyncDispose]()
})

/** A socket on loopback that notes what it gets, and from which port. */
class Vpn {
  readonly socket: Socket
  readonly got: { readonly text: string; readonly port: number }[] = []

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('message', (packet, { port }) => this.got.push({ text: packet.toString('latin1'), port }))
  }

  static async open(): Promise<Vpn> {
    const socket = createSocket('udp4')
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    onTestFinished(() => void socket.close())
    return new Vpn(socket)
  }

  get port(): number {
    return this.socket.address().port
  }

  send(text: string, port: number): void {
    this.socket.send(Buffer.from(text, 'latin1'), port, '127.0.0.1')
  }

  /** Waits for a text, and returns the port it came from. */
  async gets(text: string): Promise<number> {
    await waitUntil(`got ${text.slice(0, 20)}`, () => this.got.some((one) => one.text === text), 10_000)
    return this.got.find((one) => one.text === text)?.port ?? 0
  }
}

async function bridgeOf(
  key: KeyPair,
  peer: KeyPair,
  more: Partial<BridgePeerSettings> = {},
): Promise<Bridge> {
  const settings = {
    name: 'peer',
    key: peer.publicKey,
    listen: { host: '127.0.0.1', port: 0 },
    vpn: undefined,
    flowsMax: 1,
    wg: undefined,
    ...more,
  }
  const { host, port } = relay.target()
  const way = wayByUrls(key, {
    urls: [`https://${host}:${port}`],
    tls: { isInsecure: true },
    proxy: undefined,
    protect: async () => undefined,
  })
  const bridge = new Bridge(
    {
      name: 'test',
      key,
      mode: 'relay',
      isDirectTried: false,
      interfaceName: undefined,
      peers: [settings],
      queueBytesMax: 65_536,
    },
    { relay: way, wg: undefined, isInside: () => false, log: () => undefined },
  )
  await bridge.start()
  onTestFinished(async () => await bridge.stop())
  await waitUntil('the bridge is connected', () => bridge.isConnected)
  return bridge
}

function portOf(bridge: Bridge): number {
  return bridge.peers[0]?.port ?? 0
}

test('packets of any size and content pass in both directions, unchanged', async () => {
  const [alice, bob] = [newKeyPair(), newKeyPair()]
  const [client, server] = [await Vpn.open(), await Vpn.open()]
  const here = await bridgeOf(alice, bob)
  const there = await bridgeOf(bob, alice, { vpn: { host: '127.0.0.1', port: server.port } })
  const texts = ['x', 'DFB1', `DFB1${'\xff'.repeat(100)}`, '\x01\x00\x00\x00'.repeat(37), 'y'.repeat(20_000)]
  for (const text of texts) {
    client.send(text, portOf(here))
    expect(await server.gets(text)).toBe(portOf(there))
    server.send(`${text}!`, portOf(there))
    expect(await client.gets(`${text}!`)).toBe(portOf(here))
  }
  expect(here.peers[0]?.counters).toMatchObject({ packetsOut: texts.length, packetsIn: texts.length })
})

test('the ports of a bridge cannot be reached from other hosts', async () => {
  const [alice, bob] = [newKeyPair(), newKeyPair()]
  const here = await bridgeOf(alice, bob)
  const taken = createSocket('udp4')
  taken.bind(portOf(here), '127.0.0.1')
  expect(await once(taken, 'error')).toMatchObject([{ code: 'EADDRINUSE' }])
  const free = createSocket('udp4')
  free.bind(portOf(here), '127.0.0.2')
  await once(free, 'listening')
  free.close()
})

test('nothing of a key that is no peer is read or delivered', async () => {
  const [alice, bob] = [newKeyPair(), newKeyPair()]
  const server = await Vpn.open()
  const there = await bridgeOf(bob, alice, { vpn: { host: '127.0.0.1', port: server.port } })
  const stranger = await relay.client()
  for (let i = 0; i < 100; i++) stranger.send(bob.publicKey, Buffer.from(`DFB1 ${i}`))
  await waitUntil('all have come', () => there.droppedUnknown === 100, 10_000)
  expect(server.got).toEqual([])
})

describe('flows', () => {
  test('a VPN that speaks from another port comes from another port there, and answers find their port', async () => {
    const [alice, bob] = [newKeyPair(), newKeyPair()]
    const [first, second, server] = [await Vpn.open(), await Vpn.open(), await Vpn.open()]
    const here = await bridgeOf(alice, bob, { flowsMax: 4 })
    await bridgeOf(bob, alice, { flowsMax: 4, vpn: { host: '127.0.0.1', port: server.port } })
    first.send('one', portOf(here))
    const onePort = await server.gets('one')
    second.send('two', portOf(here))
    const twoPort = await server.gets('two')
    expect(twoPort).not.toBe(onePort)
    first.send('three', portOf(here))
    expect(await server.gets('three')).toBe(onePort)
    for (const [answer, port, client] of [
      ['to two', twoPort, second],
      ['to one', onePort, first],
      ['to two again', twoPort, second],
    ] as const) {
      server.send(answer, port)
      await client.gets(answer)
    }
    expect(first.got.map(({ text }) => text)).toEqual(['to one'])
  })

  test('a new session is not mistaken for the old one when either bridge has started anew', async () => {
    const [alice, bob] = [newKeyPair(), newKeyPair()]
    const [client, server] = [await Vpn.open(), await Vpn.open()]
    const options = { flowsMax: 4, vpn: { host: '127.0.0.1', port: server.port } }
    const here = await bridgeOf(alice, bob, { flowsMax: 4 })
    const there = await bridgeOf(bob, alice, options)
    client.send('one', portOf(here))
    await server.gets('one')
    await there.stop()
    await bridgeOf(bob, alice, options)
    await waitUntil('the flow is known again', async () => {
      client.send('two', portOf(here))
      await sleep(50)
      return server.got.some(({ text }) => text === 'two')
    })
    const port = await server.gets('two')
    server.send('answer', port)
    await client.gets('answer')
  })

  test('of many ports, the last four are kept', async () => {
    const [alice, bob] = [newKeyPair(), newKeyPair()]
    const server = await Vpn.open()
    const here = await bridgeOf(alice, bob, { flowsMax: 4 })
    const there = await bridgeOf(bob, alice, { flowsMax: 4, vpn: { host: '127.0.0.1', port: server.port } })
    for (let i = 0; i < 10; i++) {
      const client = await Vpn.open()
      // One port after the other, as a VPN that starts anew.
      await sleep(260)
      client.send(`hello ${i}`, portOf(here))
      await server.gets(`hello ${i}`)
    }
    expect([here.peers[0]?.flowCount, there.peers[0]?.flowCount]).toEqual([4, 4])
    expect(new Set(server.got.map(({ port }) => port)).size).toBe(10)
  })
})
