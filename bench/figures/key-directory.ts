// From which size on a fleet is better off with a key directory: what a change of one client costs relays that watch
// each other, and what it costs one that announces its keys to a NATS server, in messages, processor time and memory.
// The more relays there are, the more of them hear of each change; the directory hears of it once.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { NatsDirectory } from '#mesh/nats-directory.ts'
import { RouteTable } from '#mesh/route-table.ts'
import { foreign } from '../../test/support/foreign.ts'
import { NatsServers } from '../../test/support/nats.ts'
import { waitUntil } from '../../test/support/process.ts'
import { MeshScale } from '../../test/simulation/mesh-scale.ts'
import { Random } from '../../test/simulation/random.ts'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { cpuSeconds, residentBytes } from '../machine.ts'
import { ownRow, type Shown } from '../row.ts'
import { sampleOf } from '../sample.ts'
import { TOLD_CHANGE_FACT } from './presence.ts'

const FLEETS = [8, 32, 64]
const KEYS_PER_RELAY = 500
const MOVES = 2_000
const KEYS = 50_000
const LOOKUPS = 10_000
/** Clients come one by one. */
const TRICKLE = 5_000
const TRICKLE_PER_TURN = 10
const TRICKLE_TURN_MS = 10
/** Less than what a relay may have under way. */
const LOOKUPS_AT_ONCE = 100

/** Messages in the whole fleet while something happens. */
function messagesOf(fleet: MeshScale, happen: () => void): number {
  const before = fleet.messageCount
  happen()
  return fleet.messageCount - before
}

function messageRows(bench: Bench): Row[] {
  return FLEETS.flatMap((relays) =>
    [false, true].flatMap((hasDirectory) => {
      bench.progress.step(`${relays} relays simulated`)
      const fleet = new MeshScale(new Random(1), { relays, keys: relays * KEYS_PER_RELAY, hasDirectory })
      const events = fleet.events
      const moves = messagesOf(fleet, () => fleet.moveSome(MOVES))
      const perChange = moves / (fleet.events - events)
      const restart = messagesOf(fleet, () => fleet.restartOne())
      const who = `${relays} relays ${hasDirectory ? 'with a directory' : 'that watch each other'}`
      return [
        ownRow({ label: `messages for a client that comes or goes, ${who}`, unit: '', digits: 1 }, [
          perChange,
        ]),
        ownRow({ label: '– for a relay that restarts', unit: '', digits: 0 }, [restart]),
      ]
    }),
  )
}

/** Bytes of heap and buffers in use after everything that can be given back has been. */
async function usedBytes(collect: () => void): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await sleep(100)
    collect()
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

function collector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

/** What a relay keeps of each key that it has been told of. */
async function bookBytesPerKey(keys: readonly Uint8Array[], collect: () => void): Promise<number> {
  const before = await usedBytes(collect)
  const routeTable = new RouteTable(1, () => undefined)
  const sibling = { rank: 0, forward: () => undefined }
  for (const key of keys) routeTable.add(key, 0, sibling)
  const bytes = ((await usedBytes(collect)) - before) / keys.length
  if (routeTable.size !== keys.length) throw new Error('a route table that lost keys')
  return bytes
}

interface NatsCosts {
  readonly relayBytes: number
  readonly serverBytes: number
  /** Of keys that come one by one, as clients do. */
  readonly relayUs: number
  readonly serverUs: number
  /** Of all that a relay has, after its start. */
  readonly relayFloodUs: number
  readonly lookupRelayUs: number
  readonly lookupMs: number
}

/** User and system time of this process, µs. */
function ownUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

const NATS_ROWS: readonly (readonly [shown: Shown, read: (one: NatsCosts) => number])[] = [
  [
    { label: 'memory per key that is announced, at the relay', unit: 'bytes', digits: 0 },
    ({ relayBytes }) => relayBytes,
  ],
  [{ label: '– at the NATS server', unit: 'bytes', digits: 0 }, ({ serverBytes }) => serverBytes],
  [{ label: 'CPU per key that is announced, at the relay', unit: 'µs', digits: 1 }, ({ relayUs }) => relayUs],
  [{ label: '– at the NATS server', unit: 'µs', digits: 1 }, ({ serverUs }) => serverUs],
  [
    { label: '– at the relay, all its keys after a start', unit: 'µs', digits: 1 },
    ({ relayFloodUs }) => relayFloodUs,
  ],
  [
    { label: 'CPU per key that is looked up, at both relays', unit: 'µs', digits: 1 },
    ({ lookupRelayUs }) => lookupRelayUs,
  ],
  [
    { label: 'lookups that one relay gets done', unit: 'per second', digits: 0 },
    ({ lookupMs }) => 1_000 / lookupMs,
  ],
]

async function located(directory: NatsDirectory, key: Uint8Array): Promise<void> {
  await new Promise((resolve) => directory.locate(key, resolve))
}

async function lookUpAll(directory: NatsDirectory, keys: readonly Uint8Array[]): Promise<number[]> {
  const delaysMs: number[] = []
  for (let at = 0; at < LOOKUPS; at += LOOKUPS_AT_ONCE) {
    const some = keys.slice(at, at + LOOKUPS_AT_ONCE)
    const started = performance.now()
    await Promise.all(some.map(async (key) => await located(directory, key)))
    delaysMs.push(performance.now() - started)
  }
  return delaysMs
}

async function natsCosts(
  program: string,
  keys: readonly Uint8Array[],
  collect: () => void,
): Promise<NatsCosts> {
  const folder = await mkdtemp(join(tmpdir(), 'derpfleet-bench-nats-'))
  const servers = await NatsServers.start(program, { folder, names: ['ONE'] })
  const settings = { servers: [servers.url('ONE')], ca: undefined, secret: randomBytes(32) }
  const parts = { settings, credentials: undefined, onConnected: () => undefined }
  const relay = new NatsDirectory({ ...parts, name: () => 'one.example.com' })
  const other = new NatsDirectory({ ...parts, name: () => 'two.example.com' })
  const pid = servers.pidOf('ONE')
  try {
    await waitUntil('both are connected', () => relay.isConnected && other.isConnected)
    const before = {
      bytes: await usedBytes(collect),
      serverBytes: await residentBytes(pid),
      us: ownUs(),
    }
    for (const key of keys) relay.announce(key)
    const last = keys.at(-1) ?? randomBytes(32)
    await waitUntil('all are announced', async () => (await located(other, last)) !== undefined, 60_000)
    const announcedUs = ownUs()
    const bytes = (await usedBytes(collect)) - before.bytes
    const serverBytes = (await residentBytes(pid)) - before.serverBytes
    const trickling = { us: ownUs(), serverUs: 1e6 * (await cpuSeconds(pid)) }
    for (let i = 0; i < TRICKLE; i += TRICKLE_PER_TURN) {
      for (let n = 0; n < TRICKLE_PER_TURN; n++) relay.announce(new Uint8Array(randomBytes(32)))
      await sleep(TRICKLE_TURN_MS)
    }
    const trickled = { us: ownUs(), serverUs: 1e6 * (await cpuSeconds(pid)) }
    const asked = ownUs()
    const delaysMs = await lookUpAll(other, keys)
    return {
      relayBytes: bytes / keys.length,
      serverBytes: serverBytes / keys.length,
      relayUs: (trickled.us - trickling.us) / TRICKLE,
      serverUs: (trickled.serverUs - trickling.serverUs) / TRICKLE,
      relayFloodUs: (announcedUs - before.us) / keys.length,
      // Who asks and who answers are both this process.
      lookupRelayUs: (ownUs() - asked) / LOOKUPS,
      lookupMs: sampleOf(delaysMs).median / LOOKUPS_AT_ONCE,
    }
  } finally {
    await relay.close()
    await other.close()
    await servers[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  }
}

export const directory: Figure = {
  name: 'directory',
  title: 'Watching siblings or asking a directory',
  async measure(bench) {
    const rows = messageRows(bench)
    const found = await foreign('nats-server')
    if ('missing' in found) return { rows, notes: [`nats-server: ${found.missing}`] }
    const collect = collector()
    const keys = Array.from({ length: KEYS }, () => new Uint8Array(randomBytes(32)))
    const [books, costs]: [number[], NatsCosts[]] = [[], []]
    for (let round = 0; round < bench.effort.rounds; round++) {
      bench.progress.step(`a NATS server, round ${round + 1} of ${bench.effort.rounds}`)
      books.push(await bookBytesPerKey(keys, collect))
      costs.push(await natsCosts(found.path, keys, collect))
    }
    const toldUs = bench.facts[TOLD_CHANGE_FACT] ?? Number.NaN
    const bearable = 'changes a second that cost a watching thread a twentieth of its time'
    rows.push(
      ownRow(
        { label: 'memory per key of a sibling that is watched, for each thread', unit: 'bytes', digits: 0 },
        books,
      ),
      ownRow(
        { label: 'CPU per change of a sibling that is watched, for each thread', unit: 'µs', digits: 1 },
        [toldUs],
      ),
      ownRow({ label: bearable, unit: '', digits: 0 }, [50_000 / toldUs]),
      ...NATS_ROWS.map(([shown, read]) => ownRow(shown, costs.map(read))),
    )
    return {
      rows,
      notes: [
        `Messages are counted in a simulation with the relays' own code, ${KEYS_PER_RELAY} home keys per relay: between relays that watch each other, or to and from NATS servers. Costs are measured with ${KEYS} keys and a NATS server on this machine; keys are announced ${TRICKLE_PER_TURN} in ${TRICKLE_TURN_MS} ms unless it says otherwise.`,
      ],
    }
  },
}
