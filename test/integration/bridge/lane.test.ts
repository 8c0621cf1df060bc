// A host on whose network nothing but TCP 443 passes, with WireGuard and a bridge; and a host with nothing but stock WireGuard, behind a
// NAT, on the relay's lane. The configurations are those of docs/lane.md. LANE_LONG=1 also has the first host on the lane while UDP
// passes there.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { foreignPrograms } from '../../support/foreign.ts'
import { lanePeer, LaneFiles } from '../../support/lane-lab.ts'
import { canMakeNetworks } from '../../support/network.ts'
import type { RunningProcess } from '../../support/process.ts'
import { PROGRAM } from '../../support/program-path.ts'
import { findOnPath } from '../../support/system-program.ts'
import { MIDDLE, type LabEnd } from '../../support/vpn-lab.ts'
import { base64, type PeerBlock, wireguardKey, WireguardPeer } from '../../support/wireguard.ts'
import { LabRelay } from './lab-relay.ts'
import { firstPing, pausedBy, Pings, say, transfer } from './measures.ts'

const programs = await foreignPrograms('wireguard', 'wireguard-tools')
const needed = await Promise.all(['ping', 'iptables'].map(findOnPath))
const canRun = (await canMakeNetworks()) && 'paths' in programs && needed.every((path) => path !== undefined)
if (!canRun)
  process.stderr.write('SKIPPING bridge and lane: they need root, wireguard, wg, ping and iptables\n')
const program = 'paths' in programs ? programs.paths.wireguard : ''

const INSIDE = { alice: '198.19.4.1', bob: '198.19.4.2' } as const
const BRIDGE_AT = '127.0.0.1:51830'
const LANE_AT = `${MIDDLE}:51820`

/** Alice with WireGuard and a bridge, bob with WireGuard alone. */
class BridgeAndLane implements AsyncDisposable {
  readonly keys = { alice: wireguardKey(), bob: wireguardKey() }
  readonly files: LaneFiles
  relay!: LabRelay
  alice!: WireguardPeer
  bob!: WireguardPeer
  bridge!: RunningProcess

  constructor() {
    const { alice, bob } = this.keys
    this.files = new LaneFiles([
      { name: 'alice', key: alice },
      { name: 'bob', key: bob, links: ['alice'] },
    ])
  }

  /** @param toBob alice's block for bob, and others */
  async start(toBob: Pick<PeerBlock, 'endpoint'>, others: readonly PeerBlock[]): Promise<void> {
    const { keys, files } = this
    const list = join(files.folder, 'keys')
    writeFileSync(list, `allow ${base64(keys.alice.publicKey)} # alice's laptop\n`)
    const lane = ['-lane', LANE_AT, '-lane-key-file', join(files.folder, 'lane.key')]
    this.relay = await LabRelay.make(['-allow-keys-file', list, ...lane, '-lane-roster', files.rosterPath])
    const { lab } = this.relay
    await lab.setNat('bob', 'symmetric')
    const laneAs = { key: files.key.publicKey, at: LANE_AT }
    const peers = [{ key: keys.alice.publicKey, address: INSIDE.alice }]
    this.bob = await lanePeer({
      program,
      host: this.#host('bob'),
      key: keys.bob,
      address: INSIDE.bob,
      lane: laneAs,
      peers,
    })
    const block = { key: keys.bob.publicKey, allowedIps: `${INSIDE.bob}/32`, ...toBob }
    const own = { program, host: this.#host('alice'), key: keys.alice, address: INSIDE.alice }
    this.alice = await WireguardPeer.start({ ...own, peers: [...others, block] })
    await this.startBridge(toBob.endpoint ?? '')
  }

  async startBridge(endpoint: string): Promise<void> {
    const { keys, files, relay, alice } = this
    const path = join(files.folder, `${alice.name}.conf`)
    const lane = `[Peer]\nPublicKey = ${base64(files.key.publicKey)}\nEndpoint = ${LANE_AT}\n`
    const bob = `[Peer]\n# Name = bob\nPublicKey = ${base64(keys.bob.publicKey)}\nEndpoint = ${endpoint}\nAllowedIPs = ${INSIDE.bob}/32\n`
    const own = `[Interface]\nPrivateKey = ${base64(keys.alice.privateKey)}\n`
    writeFileSync(path, `${own}${lane}${bob}`, { mode: 0o600 })
    const args = ['bridge', path, ...relay.clientArgs, '-status-socket', join(files.folder, 'alice.sock')]
    this.bridge = await relay.lab.start('alice', { readyWhen: /the bridge runs/ }, PROGRAM, ...args)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.alice?.[Symbol.asyncDispose]()
    await this.bob?.[Symbol.asyncDispose]()
    await this.relay?.[Symbol.asyncDispose]()
    this.files[Symbol.dispose]()
  }

  #host(end: LabEnd): { command(command: string, ...args: readonly string[]): [string, string[]] } {
    return { command: (command, ...args) => this.relay.lab.command(end, command, ...args) }
  }
}

describe.skipIf(!canRun)('a bridge behind TCP 443 and a stock peer on the lane', () => {
  let it: BridgeAndLane | undefined

  afterEach(async () => {
    await it?.[Symbol.asyncDispose]()
    it = undefined
  })

  test(
    '100 MB arrive equal, and restarts of relay and bridge cost two seconds at most',
    { timeout: 180_000 },
    async () => {
      it = new BridgeAndLane()
      await it.start({ endpoint: BRIDGE_AT }, [])
      const { lab } = it.relay
      await lab.setNat('alice', 'noudp')
      say(`bridge to lane: the first ping after ${Math.round(await firstPing(lab, INSIDE.bob))} ms`)
      await lab.run('alice', 'ping', '-c', '1', '-W', '2', '-M', 'do', '-s', '1392', INSIDE.bob)
      const { isEqual, ms } = await transfer(lab, INSIDE.bob, 100_000_000)
      expect(isEqual).toBe(true)
      say(`100 MB by bridge, relay and lane in ${(ms / 1_000).toFixed(1)} s`)
      const pings = await Pings.start(lab, INSIDE.bob)
      const { relay } = it
      expect(
        await pausedBy(pings, 'the relay is killed', async () => await relay.restart()),
      ).toBeLessThanOrEqual(2)
      const whole = it
      const restarted = async (): Promise<void> => {
        whole.bridge.signal('SIGKILL')
        await whole.bridge.exited
        await whole.startBridge(BRIDGE_AT)
      }
      expect(await pausedBy(pings, 'the bridge is killed', restarted)).toBeLessThanOrEqual(2)
      await pings.stop()
    },
  )

  test.runIf(process.env['LANE_LONG'] === '1')(
    'alice is on the lane while UDP passes, and by the bridge while it does not',
    { timeout: 300_000 },
    async () => {
      it = new BridgeAndLane()
      const lane = { key: it.files.key.publicKey, endpoint: LANE_AT, keepaliveS: 25 }
      await it.start({ endpoint: LANE_AT }, [lane])
      const { alice, keys } = it
      const { lab } = it.relay
      const endpoint = async (): Promise<string> => await alice.shows('endpoints', keys.bob.publicKey)
      await firstPing(lab, INSIDE.bob)
      const pings = await Pings.start(lab, INSIDE.bob)
      await sleep(60_000)
      expect(await endpoint()).toBe(LANE_AT)
      expect(pings.longestGap()).toBeLessThan(1)
      expect(it.bridge.output).not.toContain('take the relay')
      const drop = ['FORWARD', '-p', 'udp', '-j', 'DROP']
      await lab.run('aliceRouter', 'iptables', '-I', ...drop)
      await sleep(40_000)
      expect(await endpoint()).toMatch(/^127\.0\.0\.1:/)
      say(`${pings.longestGap().toFixed(1)} s without packets when UDP to the lane is cut`)
      expect(pings.longestGap()).toBeLessThan(25)
      await lab.run('aliceRouter', 'iptables', '-D', ...drop)
      const restored = Date.now() / 1_000
      await expect.poll(endpoint, { timeout: 90_000, interval: 500 }).toBe(LANE_AT)
      say(`by the lane again ${(Date.now() / 1_000 - restored).toFixed(1)} s after UDP passes`)
      await sleep(5_000)
      expect(await endpoint()).toBe(LANE_AT)
      expect(pings.longestGap(restored + 1)).toBeLessThan(2)
      await pings.stop()
    },
  )
})
