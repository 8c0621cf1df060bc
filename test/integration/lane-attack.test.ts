// Attacks on the lane at 5,000 datagrams a second, by a process of its own on a processor of its own, beside real wireguard-go peers and
// clients by DERP: nobody unknown gets a byte, pings are not lost, newcomers register, also behind the attacker's own address, and
// packets by DERP are not late. A few seconds for each attack; LANE_LONG=1 takes three rounds of ten seconds, and judges as strictly
// as an idle machine allows.

import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { mac1Of } from '#lane/macs.ts'
import { INITIATION_BYTES, INITIATION_MAC1_AT } from '#lane/messages.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Lab } from '../support/lab.ts'
import { lanePeer, type RosterLine, rosterText } from '../support/lane-lab.ts'
import { LaneProcess } from '../support/lane-process.ts'
import { transport } from '../support/memory-lane.ts'
import { canMakeNetworks } from '../support/network.ts'
import { startProcess, waitUntil } from '../support/process.ts'
import { findOnPath } from '../support/system-program.ts'
import { UdpPeer } from '../support/udp-peer.ts'
import { wireguardKey, type WireguardPeer } from '../support/wireguard.ts'

const found = await foreignPrograms('wireguard', 'wireguard-tools')
const canPin = (await findOnPath('taskset')) !== undefined
const isPossible = 'paths' in found && canPin && (await canMakeNetworks())
if ('paths' in found && !isPossible)
  process.stderr.write('SKIPPING attacks on the lane: not root, no network namespaces, or no taskset\n')
const program = 'paths' in found ? found.paths.wireguard : ''
const isLong = process.env['LANE_LONG'] === '1'

const FLOOD = join(import.meta.dirname, '../support/udp-flood.ts')
const PER_SECOND = 5_000
const ROUNDS = isLong ? 3 : 1
const PINGS = isLong ? 100 : 25
const REGISTERED_MS_MAX = 5_000
const [ALICE, BOB] = ['198.19.5.1', '198.19.5.2']
const keys = { alice: wireguardKey(), bob: wireguardKey() }
const ROSTER: readonly RosterLine[] = [
  { name: 'alice', key: keys.alice },
  { name: 'bob', key: keys.bob, links: ['alice'] },
]

/** What strangers send; `lane`: who has the lane's public key. */
const KINDS = ['random', 'data', 'member', 'lane'] as const
type Kind = (typeof KINDS)[number]

interface Measured {
  readonly lost: number
  /** Of packets by DERP, in ms. */
  readonly p99: number
}

interface Round {
  readonly sent: number
  readonly answers: number
  readonly quiet: Measured
  readonly attacked: Measured
  /** How long the newcomers took: one elsewhere, one behind the attacker's address. */
  readonly registeredMs: readonly number[]
}

describe.runIf(isPossible)('a lane under attack', () => {
  let lab: Lab
  let relay: LaneProcess
  let peers: readonly WireguardPeer[] = []
  let elsewhere = ''
  let behind = ''
  const newcomers: UdpPeer[] = []

  beforeAll(async () => {
    lab = await Lab.make('alice', 'bob')
    elsewhere = await lab.addAddress(150)
    behind = await lab.addAddress(151)
    relay = await LaneProcess.start(lab, ROSTER)
    const own = { key: relay.files.key, port: relay.lanePort, to: lab.ownAddress }
    for (let n = 0; n < 2 * KINDS.length * ROUNDS; n++)
      newcomers.push(new UdpPeer({ ...own, address: n % 2 === 0 ? elsewhere : behind }))
    const lines = newcomers.map(({ peer }, n) => `${peer.text} newcomer${n}\n`)
    writeFileSync(relay.files.rosterPath, `${rosterText(ROSTER)}${lines.join('')}`)
    const known = 'derp_lane_members{state="known"}'
    await waitUntil('the roster is read', async () => (await relay.sample(known)) === 2 + lines.length)
    const lane = { key: relay.files.key.publicKey, at: relay.at }
    const start = async (n: number, key: typeof keys.alice, address: string): Promise<WireguardPeer> => {
      const [other, at] = n === 0 ? [keys.bob, BOB] : [keys.alice, ALICE]
      const host = lab.hosts[n]
      if (host === undefined) throw new Error('no host')
      return await lanePeer({
        program,
        host,
        key,
        address,
        lane,
        peers: [{ key: other.publicKey, address: at }],
      })
    }
    peers = [await start(0, keys.alice, ALICE), await start(1, keys.bob, BOB)]
    await relay.here(2)
    await peers[0]?.firstAnswer(BOB)
  }, 90_000)

  afterAll(async () => {
    for (const one of newcomers) one[Symbol.dispose]()
    await Promise.all(peers.map(async (peer) => await peer[Symbol.asyncDispose]()))
    await relay?.[Symbol.asyncDispose]()
    await lab?.[Symbol.asyncDispose]()
  })

  it.each(KINDS)('of kind %s', { timeout: 240_000 }, async (kind) => {
    const path = join(relay.files.folder, 'datagrams')
    const messages = Array.from({ length: 2_000 }, () => junk(kind, relay.files.key.publicKey))
    writeFileSync(path, messages.map((message) => `${message.toString('base64')}\n`).join(''))
    const rounds: Round[] = []
    for (let round = 0; round < ROUNDS; round++) rounds.push(await attacked(path))
    const median = (read: (one: Round) => number): number =>
      rounds.map(read).toSorted((one, other) => one - other)[ROUNDS >> 1] ?? 0
    const ratio = median(({ quiet, attacked: { p99 } }) => p99 / quiet.p99)
    process.stdout.write(`attack ${kind}: DERP p99 ${ratio.toFixed(2)} times; ${JSON.stringify(rounds)}\n`)
    expect(rounds.map(({ answers }) => answers)).toEqual(rounds.map(() => 0))
    for (const { sent, registeredMs } of rounds) {
      expect(sent).toBeGreaterThan((PER_SECOND * PINGS) / 20)
      expect(Math.max(...registeredMs)).toBeLessThan(REGISTERED_MS_MAX)
    }
    const [lostQuietly, lost] = [median(({ quiet }) => quiet.lost), median((one) => one.attacked.lost)]
    // A short run on a busy machine loses a ping now and then.
    expect(lost).toBeLessThanOrEqual(isLong ? lostQuietly : lostQuietly + PINGS / 5)
    if (isLong) expect(ratio).toBeLessThanOrEqual(1.5)
    else expect(median((one) => one.attacked.p99)).toBeLessThan(10 * median(({ quiet }) => quiet.p99) + 50)
  })

  async function attacked(path: string): Promise<Round> {
    const quiet = await measure()
    const args = [FLOOD, behind, lab.ownAddress, `${relay.lanePort}`, `${PER_SECOND}`, path]
    const last = `${availableParallelism() - 1}`
    const flood = await startProcess('taskset', ['-c', last, process.execPath, ...args], {
      readyWhen: /floods/,
    })
    const registering = [newcomers.shift(), newcomers.shift()].map(async (one) => await one?.register())
    const measured = await measure()
    const registeredMs = (await Promise.all(registering)).map((ms = Number.NaN) => Math.round(ms))
    await flood.stop()
    const { sent = 0, answers = -1 } = JSON.parse(/\{.*\}/.exec(flood.output)?.[0] ?? '{}') as Partial<Round>
    return { sent, answers, quiet, attacked: measured, registeredMs }
  }

  /** Pings between peers, and beside them packets between two clients by DERP. */
  async function measure(): Promise<Measured> {
    const options = { host: '127.0.0.1', port: relay.port, tls: false } as const
    const [one, two] = await Promise.all([
      DerpClient.connect({ ...options, key: newKeyPair() }),
      DerpClient.connect({ ...options, key: newKeyPair() }),
    ])
    const delays: number[] = []
    two.on('packet', ({ packet }) => void delays.push(performance.now() - packet.readDoubleLE(0)))
    const timer = setInterval(() => {
      const packet = Buffer.alloc(100)
      packet.writeDoubleLE(performance.now())
      one.send(two.publicKey, packet)
    }, 5)
    const pings = await peers[0]?.ping(BOB, { count: PINGS, everyS: 0.1 })
    clearInterval(timer)
    await Promise.all([one.close(), two.close()])
    delays.sort((a, b) => a - b)
    return {
      lost: (pings?.sent ?? 0) - (pings?.received ?? 0),
      p99: Math.round(100 * (delays[Math.floor(delays.length * 0.99)] ?? 0)) / 100,
    }
  }
})

function junk(kind: Kind, laneKey: Uint8Array): Buffer {
  if (kind === 'data') return transport(randomBytes(4).readUInt32LE(), 128)
  const message = randomBytes(INITIATION_BYTES)
  message.writeUInt32LE(1, 0)
  const to = { lane: laneKey, member: keys.bob.publicKey, random: randomBytes(32) }[kind]
  message.set(mac1Of(to).of(message.subarray(0, INITIATION_MAC1_AT)), INITIATION_MAC1_AT)
  return message
}
