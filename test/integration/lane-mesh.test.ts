// The lanes of two relays that mesh, with real wireguard-go peers on both, and a client that comes by DERP with its WireGuard key.

import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DerpClient } from '#client/derp-client.ts'
import { mac1Of, MacWriter } from '#lane/macs.ts'
import { INITIATION_MAC1_AT } from '#lane/messages.ts'
import { initiate, keepalive, readResponse } from '#lane/noise.ts'
import { timestampAt } from '#lane/tai64n.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { X25519Secret } from '#protocol/x25519.ts'
import { makeCertificate } from '../support/certificate.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Lab } from '../support/lab.ts'
import { lanePeer, LaneFiles, type RosterLine } from '../support/lane-lab.ts'
import { LiveRelay, NO_MESH, siblingAt } from '../support/live-relay.ts'
import { canMakeNetworks } from '../support/network.ts'
import { freePort, waitUntil } from '../support/process.ts'
import { wireguardKey, type WireguardPeer } from '../support/wireguard.ts'

const found = await foreignPrograms('wireguard', 'wireguard-tools')
const isPossible = 'paths' in found && (await canMakeNetworks())
if ('paths' in found && !isPossible)
  process.stderr.write('SKIPPING tests of lanes in a mesh: not root, or no network namespaces\n')
const program = 'paths' in found ? found.paths.wireguard : ''

const [alice, bob, cathy] = [wireguardKey(), wireguardKey(), wireguardKey()]
const [ALICE, BOB] = ['198.19.2.1', '198.19.2.2']
const ROSTER: readonly RosterLine[] = [
  { name: 'alice', key: alice },
  { name: 'bob', key: bob, links: ['alice'] },
  // By DERP alone.
  { name: 'cathy', key: cathy, links: ['alice', 'bob'] },
]

describe.runIf(isPossible).each([
  ['of one region', false],
  ['of two regions', true],
])('the lanes of two relays %s', (_, areRegions) => {
  let lab: Lab
  let files: LaneFiles
  const relays: LiveRelay[] = []
  const peers: WireguardPeer[] = []
  const folder = mkdtempSync(join(tmpdir(), 'lane-mesh-'))

  beforeAll(async () => {
    lab = await Lab.make('alice', 'bob')
    files = new LaneFiles(ROSTER)
    const { certPath: certificatePath, keyPath } = await makeCertificate(folder, 'localhost')
    const ports = [await freePort(), await freePort()]
    const lanePorts = [await freePort(), await freePort()]
    const regions = ports.map((port, n) => ({
      id: 900 + n,
      code: `r${n}`,
      name: `Region ${n}`,
      nodes: [{ name: `90${n}a`, hostname: 'localhost', derpPort: port, meshHost: '127.0.0.1' }],
    }))
    const where = areRegions ? { regions } : { siblings: ports.map(siblingAt) }
    for (const [n, port] of ports.entries()) {
      relays.push(
        await LiveRelay.start({
          derp: { host: '127.0.0.1', port },
          threadCount: 2 - n,
          certificate: { certificatePath, keyPath },
          mesh: { ...NO_MESH, ...where, node: `90${n}a`, ca: readFileSync(certificatePath, 'utf8') },
          admin: { host: '127.0.0.1', port: 0 },
          lane: files.settings(lab.ownAddress, lanePorts[n] ?? 0, ROSTER),
        }),
      )
    }
    const both = [
      { key: alice, address: ALICE },
      { key: bob, address: BOB },
    ]
    for (const [n, { key, address }] of both.entries()) {
      const lane = { key: files.key.publicKey, at: `${lab.ownAddress}:${lanePorts[n]}` }
      const others = both.filter((one) => one.address !== address)
      const peersOf = others.map((one) => ({ key: one.key.publicKey, address: one.address }))
      const host = lab.hosts[n]
      if (host === undefined) throw new Error('no host')
      peers.push(await lanePeer({ program, host, key, address, lane, peers: peersOf }))
    }
  })

  afterAll(async () => {
    await Promise.all(peers.map(async (peer) => await peer[Symbol.asyncDispose]()))
    await Promise.all(relays.map(async (relay) => await relay[Symbol.asyncDispose]()))
    await lab?.[Symbol.asyncDispose]()
    files?.[Symbol.dispose]()
    rmSync(folder, { recursive: true, force: true })
  })

  it('carry packets between stock peers, one on each', async () => {
    await peers[0]?.firstAnswer(BOB)
    expect(await peers[0]?.ping(BOB, { count: 20, everyS: 0.05, bytes: 1_392 })).toEqual({
      sent: 20,
      received: 20,
    })
    const [sent = 0] =
      (await relays[0]?.samples(/^derp_lane_packets_sent_total\{to="relay"\}/))?.values() ?? []
    expect(sent).toBeGreaterThan(20)
  })

  it.each([
    ['the lane of its own relay', alice, 0],
    ['the lane of another one', bob, 1],
  ])('a client by DERP shakes hands with a stock peer on %s', async (_where, peerKey, n) => {
    const client = await relays[0]?.client({ key: cathy })
    if (client === undefined) throw new Error('no relay')
    client.notePreferred(true)
    // The peer learns of cathy as of any other.
    await peers[n]?.set(
      'peer',
      Buffer.from(cathy.publicKey).toString('base64'),
      'allowed-ips',
      '198.19.2.9/32',
    )
    await shakeHands(client, peerKey)
    await waitUntil('the peer has finished it', async () => {
      const at = await peers[n]?.shows('latest-handshakes', cathy.publicKey)
      return Number(at) > 0
    })
    await client.close()
  })

  it('what comes by DERP from a key without a link does not reach a peer', async () => {
    const stranger = await relays[0]?.client()
    const counted = async (): Promise<number> => {
      const values = await relays[0]?.samples(/^derp_lane_drops_total\{reason="no_link"\}/)
      return values?.values().next().value ?? 0
    }
    const before = await counted()
    stranger?.send(alice.publicKey, randomBytes(148))
    await waitUntil('it is dropped', async () => (await counted()) > before)
  })
})

/** As WireGuard does, over DERP: until the peer has answered, and has been answered. */
async function shakeHands(client: DerpClient, peer: KeyPair): Promise<void> {
  const secret = new X25519Secret(cathy.privateKey)
  const own = { secret, publicKey: secret.publicKey }
  const shared = secret.agree(peer.publicKey) as Uint8Array
  await waitUntil('the peer answers', async () => {
    const fields = { index: 5, timestamp: timestampAt(Date.now()), ephemeralKey: randomBytes(32) }
    const made = initiate(own, { publicKey: peer.publicKey, shared }, fields)
    if (made === undefined) throw new Error('a key of low order')
    new MacWriter(peer.publicKey, mac1Of(peer.publicKey)).write(made.message, INITIATION_MAC1_AT, 0)
    const answer = client.next('packet', ({ packet }) => packet[0] === 2).catch(() => undefined)
    client.send(peer.publicKey, made.message)
    const response = await Promise.race([answer, sleep(1_000, undefined)])
    const keys = response && readResponse(made.sent, response.packet)
    if (response === undefined || keys === undefined) return false
    client.send(peer.publicKey, keepalive(keys, response.packet.readUInt32LE(4), 0))
    return true
  })
}
