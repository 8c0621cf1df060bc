// The lane of a relay in a process of its own, with real wireguard-go peers: the relay is killed; sessions are renewed; fifty peers; attacks
// at their full rate. All but the first take minutes and run with LANE_LONG=1.

import { createSocket } from 'node:dgram'
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { mac1Of } from '#lane/macs.ts'
import { INITIATION_BYTES, INITIATION_MAC1_AT } from '#lane/messages.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { Lab } from '../support/lab.ts'
import { lanePeer, LaneFiles, type RosterLine } from '../support/lane-lab.ts'
import { transport } from '../support/memory-lane.ts'
import { canMakeNetworks } from '../support/network.ts'
import { freePort, startProcess, waitUntil, type RunningProcess } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'
import { wireguardKey, type WireguardPeer } from '../support/wireguard.ts'

const found = await foreignPrograms('wireguard', 'wireguard-tools')
const isPossible = 'paths' in found && (await canMakeNetworks())
if ('paths' in found && !isPossible)
  process.stderr.write('SKIPPING tests of the lane of a process: not root, or no network namespaces\n')
const program = 'paths' in found ? found.paths.wireguard : ''
const isLong = process.env['LANE_LONG'] === '1'

const PAIRS = 25
const addressOf = (n: number): string => `198.19.3.${n + 1}`
const keys = Array.from({ length: 2 * PAIRS }, wireguardKey)
/** Each even one with the next. */
const ROSTER: readonly RosterLine[] = keys.map((key, n) => ({
  name: `peer${n}`,
  key,
  links: n % 2 === 0 ? [] : [`peer${n - 1}`],
}))

class LaneProcess {
  readonly files = new LaneFiles(ROSTER)
  readonly lab: Lab
  port = 0
  lanePort = 0
  #adminPort = 0
  process: RunningProcess | undefined = undefined

  constructor(lab: Lab) {
    this.lab = lab
  }

  async choosePorts(): Promise<void> {
    ;[this.port, this.lanePort, this.#adminPort] = [await freePort(), await freePort(), await freePort()]
    mkdirSync(join(this.files.folder, 'state'), { recursive: true, mode: 0o700 })
    writeFileSync(join(this.files.folder, 'derper.key'), `{"PrivateKey":"privkey:${'9'.repeat(64)}"}`, {
      mode: 0o600,
    })
  }

  get at(): string {
    return `${this.lab.ownAddress}:${this.lanePort}`
  }

  async start(): Promise<void> {
    const { folder, rosterPath } = this.files
    const listen = ['-a', `127.0.0.1:${this.port}`, '-admin', `127.0.0.1:${this.#adminPort}`, '-stun=false']
    const lane = ['-lane', this.at, '-lane-key-file', join(folder, 'lane.key'), '-lane-roster', rosterPath]
    const own = ['-c', join(folder, 'derper.key'), '-state-dir', join(folder, 'state'), '-threads', '1']
    this.process = await startProcess(PROGRAM, ['serve', ...own, ...listen, ...lane, '-log-format', 'json'], {
      readyWhen: /"event":"relay_started"/,
    })
  }

  async sample(series: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${this.#adminPort}/metrics`)).text()
    const line = text.split('\n').find((one) => one.startsWith(`${series} `))
    return Number(line?.slice(line.lastIndexOf(' ') + 1) ?? Number.NaN)
  }

  async here(count: number): Promise<void> {
    const series = 'derp_lane_members{state="here"}'
    await waitUntil(`${count} peers are here`, async () => (await this.sample(series)) === count, 60_000)
  }
}

describe.runIf(isPossible)('a relay in a process of its own', () => {
  let lab: Lab
  let relay: LaneProcess
  const peers: WireguardPeer[] = []

  async function startPeers(count: number): Promise<void> {
    const lane = { key: relay.files.key.publicKey, at: relay.at }
    for (let n = peers.length; n < count; n++) {
      const other = n ^ 1
      const host = lab.hosts[n % 2]
      if (host === undefined) throw new Error('no host')
      const of = (at: number): KeyPair => keys[at] as KeyPair
      const peerList = [{ key: of(other).publicKey, address: addressOf(other) }]
      peers.push(await lanePeer({ program, host, key: of(n), address: addressOf(n), lane, peers: peerList }))
    }
  }

  beforeAll(async () => {
    lab = await Lab.make('alice', 'bob')
    relay = new LaneProcess(lab)
    await relay.choosePorts()
    await relay.start()
    await startPeers(2)
    await relay.here(2)
    await peers[0]?.firstAnswer(addressOf(1))
  })

  afterAll(async () => {
    await Promise.all(peers.map(async (peer) => await peer[Symbol.asyncDispose]()))
    await relay?.process?.stop()
    await lab?.[Symbol.asyncDispose]()
    relay?.files[Symbol.dispose]()
  })

  it('is killed, and peers go on where they were when it is there again', { timeout: 60_000 }, async () => {
    const pings = peers[0]?.ping(addressOf(1), { count: 100, everyS: 0.1 })
    await sleep(1_000)
    relay.process?.signal('SIGKILL')
    const beganMs = performance.now()
    await relay.process?.exited
    await relay.start()
    const awayMs = performance.now() - beganMs
    const { sent = 0, received = 0 } = (await pings) ?? {}
    const lost = sent - received
    process.stdout.write(
      `kill -9: started again within ${Math.round(awayMs)} ms; ${lost} of ${sent} pings lost\n`,
    )
    expect(100 * lost).toBeLessThan(awayMs + 2_000)
    await relay.here(2)
  })

  describe.runIf(isLong)('for minutes', () => {
    it('renews sessions without a loss', { timeout: 240_000 }, async () => {
      const results = await Promise.all([
        peers[0]?.ping(addressOf(1), { count: 750, everyS: 0.2 }),
        peers[1]?.ping(addressOf(0), { count: 750, everyS: 0.2 }),
      ])
      process.stdout.write(`rekey: ${JSON.stringify(results)}\n`)
      expect(results).toEqual([
        { sent: 750, received: 750 },
        { sent: 750, received: 750 },
      ])
    })

    it('serves fifty peers, and knows them after a restart', { timeout: 300_000 }, async () => {
      await startPeers(2 * PAIRS)
      await relay.here(2 * PAIRS)
      const even = peers.filter((_, n) => n % 2 === 0)
      const answering = async (): Promise<number> => {
        const results = await Promise.all(
          even.map(async (peer, n) => await peer.ping(addressOf(2 * n + 1), { count: 3, everyS: 0.5 })),
        )
        return results.filter(({ received }) => received > 0).length
      }
      await waitUntil('all reach each other', async () => (await answering()) === PAIRS, 60_000)
      await relay.process?.stop()
      await relay.start()
      const at = performance.now()
      expect(await answering()).toBe(PAIRS)
      const series = 'derp_lane_probes_total{result="answered"}'
      await waitUntil(
        'all have proven themselves again',
        async () => (await relay.sample(series)) >= 2 * PAIRS,
      )
      process.stdout.write(
        `fifty peers: all proven ${Math.round(performance.now() - at)} ms after the restart\n`,
      )
    })

    describe('beside an attack of 5,000 datagrams a second', () => {
      const sockets: ReturnType<typeof createSocket>[] = []
      afterEach(() => {
        for (const socket of sockets.splice(0)) socket.close()
      })

      it.each(['random', 'data', 'member', 'lane'])(
        '%s: no answer, no more loss, DERP as before',
        { timeout: 240_000 },
        async (kind) => {
          const address = await lab.addAddress(150 + ['random', 'data', 'member', 'lane'].indexOf(kind))
          const socket = createSocket('udp4')
          sockets.push(socket)
          let answers = 0
          socket.on('message', () => (answers += 1))
          await new Promise<void>((resolve) => void socket.bind(0, address, resolve))
          const messages = Array.from({ length: 2_000 }, () => junk(kind, relay.files.key.publicKey))
          const losses: { readonly quiet: number; readonly attacked: number; readonly ratio: number }[] = []
          let total = 0
          for (let round = 0; round < 3; round++) {
            const quiet = await measure()
            const stop = flood((n) =>
              socket.send(messages[n % messages.length] ?? '', relay.lanePort, lab.ownAddress),
            )
            const attacked = await measure()
            total += stop()
            losses.push({ quiet: quiet.lost, attacked: attacked.lost, ratio: attacked.p99 / quiet.p99 })
          }
          process.stdout.write(
            `attack ${kind}: ${total} sent, ${answers} answers, ${JSON.stringify(losses)}\n`,
          )
          expect(answers).toBe(0)
          const median = (values: number[]): number => values.toSorted((a, b) => a - b)[1] ?? 0
          expect(median(losses.map(({ attacked }) => attacked))).toBeLessThanOrEqual(
            median(losses.map(({ quiet }) => quiet)),
          )
        },
      )
    })

    /** Ten seconds of pings between peers, and of packets between two clients by DERP. */
    async function measure(): Promise<{ readonly lost: number; readonly p99: number }> {
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
      const pings = await peers[0]?.ping(addressOf(1), { count: 100, everyS: 0.1 })
      clearInterval(timer)
      await Promise.all([one.close(), two.close()])
      delays.sort((a, b) => a - b)
      return {
        lost: (pings?.sent ?? 0) - (pings?.received ?? 0),
        p99: delays[Math.floor(delays.length * 0.99)] ?? 0,
      }
    }
  })
})

const PER_SECOND = 5_000
const TICK_MS = 2

/** Calls `send` at that rate. Returns what ends it, and returns how often. */
function flood(send: (n: number) => void): () => number {
  const beganMs = performance.now()
  let sent = 0
  const timer = setInterval(() => {
    const due = ((performance.now() - beganMs) / 1_000) * PER_SECOND
    while (sent < due) send(sent++)
  }, TICK_MS)
  return () => {
    clearInterval(timer)
    return sent
  }
}

function junk(kind: string, laneKey: Uint8Array): Buffer {
  if (kind === 'data') return transport(randomBytes(4).readUInt32LE(), 128)
  const message = randomBytes(INITIATION_BYTES)
  message.writeUInt32LE(1, 0)
  const to = kind === 'lane' ? laneKey : kind === 'member' ? (keys[1]?.publicKey ?? laneKey) : randomBytes(32)
  message.set(mac1Of(to).of(message.subarray(0, INITIATION_MAC1_AT)), INITIATION_MAC1_AT)
  return message
}
