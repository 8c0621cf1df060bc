// The lane with real wireguard-go peers on hosts of their own: they register, reach each other by it and by nothing else, and do
// so again after moves and restarts, their own and the relay's.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keyPairFrom } from '#protocol/node-key.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Lab } from '../support/lab.ts'
import { lanePeer, LaneFiles, type RosterLine } from '../support/lane-lab.ts'
import { LiveRelay } from '../support/live-relay.ts'
import { canMakeNetworks } from '../support/network.ts'
import { freePort, waitUntil } from '../support/process.ts'
import { wireguardKey, type WireguardPeer } from '../support/wireguard.ts'

const found = await foreignPrograms('wireguard', 'wireguard-tools')
const isPossible = 'paths' in found && (await canMakeNetworks())
if ('paths' in found && !isPossible)
  process.stderr.write('SKIPPING tests of the lane: not root, or no network namespaces\n')
const program = 'paths' in found ? found.paths.wireguard : ''

const [alice, bob, cathy] = [wireguardKey(), wireguardKey(), wireguardKey()]
const [ALICE, BOB, CATHY] = ['198.19.1.1', '198.19.1.2', '198.19.1.3']
const ROSTER: readonly RosterLine[] = [
  { name: 'alice', key: alice },
  { name: 'bob', key: bob, links: ['alice'] },
]
const nodeKey = keyPairFrom(new Uint8Array(32).fill(9))

describe.runIf(isPossible)('stock WireGuard peers by the lane', () => {
  let lab: Lab
  let files: LaneFiles
  let relay: LiveRelay
  let port = 0
  const stateFolder = mkdtempSync(join(tmpdir(), 'lane-state-'))
  const peers: WireguardPeer[] = []
  const here = async (): Promise<number> =>
    (await relay.samples(/^derp_lane_members\{state="here"\}/)).values().next().value ?? 0

  async function startRelay(): Promise<LiveRelay> {
    return await LiveRelay.start({
      nodeKey,
      stateFolder,
      threadCount: 2,
      admin: { host: '127.0.0.1', port: 0 },
      lane: files.settings(lab.ownAddress, port, ROSTER),
    })
  }

  async function startPeer(n: number, key: typeof alice, address: string): Promise<WireguardPeer> {
    const all = [
      { key: alice.publicKey, address: ALICE },
      { key: bob.publicKey, address: BOB },
      { key: cathy.publicKey, address: CATHY },
    ]
    const lane = { key: files.key.publicKey, at: `${lab.ownAddress}:${port}` }
    const host = lab.hosts[n]
    if (host === undefined) throw new Error('no host')
    const others = all.filter((one) => one.address !== address)
    const peer = await lanePeer({ program, host, key, address, lane, peers: others })
    peers.push(peer)
    return peer
  }

  beforeAll(async () => {
    lab = await Lab.make('alice', 'bob', 'cathy')
    files = new LaneFiles(ROSTER)
    port = await freePort()
    relay = await startRelay()
    await startPeer(0, alice, ALICE)
    await startPeer(1, bob, BOB)
    await waitUntil('both are registered', async () => (await here()) === 2)
  })

  afterAll(async () => {
    await Promise.all(peers.map(async (peer) => await peer[Symbol.asyncDispose]()))
    await relay?.[Symbol.asyncDispose]()
    await lab?.[Symbol.asyncDispose]()
    files?.[Symbol.dispose]()
    rmSync(stateFolder, { recursive: true, force: true })
  })

  it('reach each other, with packets of any size', async () => {
    const [first] = peers
    expect(await first?.firstAnswer(BOB)).toBeLessThan(20_000)
    expect(await first?.ping(BOB, { count: 20, everyS: 0.05, bytes: 1_392 })).toEqual({
      sent: 20,
      received: 20,
    })
    const bothWays = await peers[1]?.ping(ALICE, { count: 20, everyS: 0.05 })
    expect(bothWays).toEqual({ sent: 20, received: 20 })
  })

  it('lose nothing when the one that sends has another port', async () => {
    const pings = peers[0]?.ping(BOB, { count: 60, everyS: 0.05 })
    await sleep(1_000)
    await peers[0]?.set('listen-port', '41233')
    await sleep(200)
    await peers[0]?.set('listen-port', '41234')
    const { sent = 0, received = 0 } = (await pings) ?? {}
    expect(sent - received).toBeLessThanOrEqual(2)
    await waitUntil('it has moved', async () => {
      const [moves = 0] = (await relay.samples(/^derp_lane_moves_total/)).values()
      return moves > 0
    })
  })

  it('go on when the relay restarts', async () => {
    const pings = peers[0]?.ping(BOB, { count: 80, everyS: 0.1 })
    await sleep(1_000)
    const beganMs = performance.now()
    await relay[Symbol.asyncDispose]()
    relay = await startRelay()
    const awayMs = performance.now() - beganMs
    const { sent = 0, received = 0 } = (await pings) ?? {}
    process.stdout.write(
      `restart of the relay: away for ${Math.round(awayMs)} ms, ${sent - received} of ${sent} pings lost\n`,
    )
    expect((sent - received) * 100).toBeLessThan(awayMs + 2_000)
    await waitUntil('both have proven themselves again', async () => {
      const [answered = 0] = (await relay.samples(/^derp_lane_probes_total\{result="answered"\}/)).values()
      return answered === 2
    })
  })

  it('a key that the roster gets is registered, and reaches those that it is linked with', async () => {
    const third = await startPeer(2, cathy, CATHY)
    expect((await third.ping(BOB, { count: 3 })).received).toBe(0)
    expect(await here()).toBe(2)
    files.write([...ROSTER, { name: 'cathy', key: cathy, links: ['bob'] }])
    await waitUntil('cathy is registered', async () => (await here()) === 3)
    await third.firstAnswer(BOB)
    expect((await third.ping(ALICE, { count: 3 })).received).toBe(0)
    files.write(ROSTER)
    await waitUntil('cathy is not here any more', async () => (await here()) === 2)
    expect((await third.ping(BOB, { count: 3 })).received).toBe(0)
  })
})
