// Two sides of a direct way whose datagrams pass from one to the other within the process, and what strangers can do there.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { ControlChannel } from '#bridge/control-frame.ts'
import { DirectSide } from '#bridge/direct-side.ts'
import type { LocalAddress } from '#bridge/settings.ts'
import { newKeyPair } from '#client/derp-client.ts'
import { hostPortText } from '#protocol/host-port.ts'
import { BoxSecret } from '#protocol/box.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { waitUntil } from '../support/process.ts'

const ALICE = { host: '192.0.2.1', port: 1_000 }
const BOB = { host: '198.51.100.1', port: 2_000 }
const STRANGER = { host: '203.0.113.1', port: 3_000 }

class End {
  readonly got: string[] = []
  readonly flows: number[] = []
  /** Of the wire. */
  readonly sent: { readonly packet: Buffer; readonly to: string }[] = []
  readonly side: DirectSide
  other: End | undefined

  constructor(address: LocalAddress, own: KeyPair, peer: KeyPair) {
    const box = new BoxSecret(own.privateKey).agree(peer.publicKey)
    if (box === undefined) throw new Error('no box')
    const options = { isUnordered: true, bytesMax: 9_000 }
    const channel = new ControlChannel(own.publicKey, peer.publicKey, box, options)
    this.side = new DirectSide(
      channel,
      {
        isWireguards: false,
        neededBytes: 0,
        isInside: (host) => host.startsWith('10.'),
        send: (bytes, to) => {
          const packet = Buffer.from(bytes)
          this.sent.push({ packet, to: hostPortText(to.host, to.port) })
          setImmediate(() => this.other?.side.receive(packet, address))
        },
        mayPing: () => true,
        ownCandidates: async () => [hostPortText(address.host, address.port)],
      },
      {
        tell: (message) => setImmediate(() => this.other?.side.hear(message)),
        deliver: (packet) => this.got.push(Buffer.from(packet).toString()),
        nameFlow: (flow) => this.flows.push(flow),
        toRelay: () => undefined,
        drop: () => undefined,
        changed: () => undefined,
      },
    )
  }
}

const bobKey = newKeyPair()

async function pair(): Promise<{ alice: End; bob: End; aliceKey: KeyPair }> {
  const aliceKey = newKeyPair()
  const alice = new End(ALICE, aliceKey, bobKey)
  const bob = new End(BOB, bobKey, aliceKey)
  alice.other = bob
  bob.other = alice
  alice.side.connected()
  await waitUntil('both have a direct way', () => {
    for (const { side } of [alice, bob]) side.tick(performance.now())
    return alice.side.path !== undefined && bob.side.path !== undefined
  })
  return { alice, bob, aliceKey }
}

test('two sides find each other, and packets pass', async () => {
  const { alice, bob } = await pair()
  alice.side.take(Buffer.from('to bob'))
  bob.side.take(Buffer.from('to alice'))
  await waitUntil('both have come', () => alice.got.length > 0 && bob.got.length > 0)
  expect([alice.got, bob.got]).toEqual([['to alice'], ['to bob']])
})

test('packets of a new flow wait until its notice must have come', async () => {
  const { alice, bob } = await pair()
  alice.side.tellFlow(7, false, true)
  expect(alice.side.take(Buffer.from('one'))).toBe(false)
  await sleep(20)
  expect(bob.flows).toContain(7)
  expect(bob.got).toEqual([])
  await sleep(350)
  alice.side.take(Buffer.from('two'))
  await waitUntil('it has come', () => bob.got.includes('two'))
})

test('a packet from an address without a message of the peer is nobody else’s to deliver', async () => {
  const { bob } = await pair()
  bob.side.receive(Buffer.from('data'), STRANGER)
  const claim = Buffer.concat([Buffer.from('DFB1'), bobKey.publicKey, randomBytes(100)])
  bob.side.receive(claim, STRANGER)
  expect(bob.got).toEqual([])
  expect(bob.side.isSource('203.0.113.1:3000')).toBe(false)
})

test('what was recorded opens no address, and neither does what comes out of the tunnel', async () => {
  const { alice, bob } = await pair()
  const recorded = alice.sent.filter(({ packet }) => packet.subarray(0, 4).toString() === 'DFB1')
  expect(recorded.length).toBeGreaterThan(3)
  const answers = bob.sent.length
  for (const { packet } of recorded) bob.side.receive(packet, STRANGER)
  expect(bob.side.isSource('203.0.113.1:3000')).toBe(false)
  // A fresh one, from within the tunnel.
  alice.other = undefined
  const before = alice.sent.length
  await waitUntil('alice has pinged', () => {
    alice.side.tick(performance.now())
    return alice.sent.length > before
  })
  for (const { packet } of alice.sent.slice(before)) bob.side.receive(packet, { host: '10.0.0.1', port: 1 })
  expect(bob.side.isSource('10.0.0.1:1')).toBe(false)
  expect(bob.sent).toHaveLength(answers)
})

test('a flood of claims from strangers does not silence the peer', async () => {
  const { alice, bob, aliceKey } = await pair()
  const claim = Buffer.concat([Buffer.from('DFB1'), aliceKey.publicKey, randomBytes(100)])
  for (let i = 0; i < 10_000; i++) bob.side.receive(claim, { host: '203.0.113.1', port: i })
  const answers = bob.sent.length
  await waitUntil('bob answers a ping of alice', () => {
    alice.side.tick(performance.now())
    return bob.sent.length > answers
  })
  expect(bob.got).toEqual([])
})
