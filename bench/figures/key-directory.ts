// The fleet size from which on a key directory is cheaper: the cost of one client's change, in messages, CPU time and
// memory, for relays that watch each other and for a relay that announces its keys to a NATS server. Relays that watch
// each other all receive every change; the directory receives it once.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { KeyLocation } from '#mesh/key-directory.ts'
import { NatsDirectory } from '#mesh/nats-directory.ts'
import { RouteTable } from '#mesh/route-table.ts'
import { foreign } from '../../test/support/foreign.ts'
import { NatsServers } from '../../test/support/nats.ts'
import { waitUntil } from '../../test/support/process.ts'
import { MeshScale } from '../../test/simulation/mesh-scale.ts'
import { Random } from '../../test/simulation/random.ts'
import type { Bench } from '../bench.ts'
import type { Figure, Row } from '../figure.ts'
import { cpuSeconds, residentBytes } from '../process-stats.ts'
import { ownRow, type Shown } from '../row.ts'
import { sampleOf } from '../sample.ts'
import { PRESENCE_CHANGE_FACT } from './presence.ts'

const FLEETS = [8, 32, 64]
const KEYS_PER_RELAY = 500
const MOVES = 2_000
const KEYS = 50_000
const LOOKUPS = 10_000
/** Keys that are announced a few at a time, as clients connect. */
const SINGLE_KEYS = 5_000
const SINGLE_KEYS_PER_STEP = 10
const STEP_MS = 10
/** Lookups at a time; below a relay's limit. */
const LOOKUPS_AT_ONCE = 100

/** Messages in the whole fleet that an action causes. */
function messagesOf(fleet: MeshScale, act: () => void): number {
  const before = fleet.messageCount
  act()
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
      const fleetText = `${relays} relays ${hasDirectory ? 'with a directory' : 'that watch each other'}`
      return [
        ownRow(
          { label: `messages per client that connects or disconnects, ${fleetText}`, unit: '', digits: 1 },
          [perChange],
        ),
        ownRow({ label: '– per restart of a relay', unit: '', digits: 0 }, [restart]),
      ]
    }),
  )
}

/** Bytes of heap and buffers that are in use after garbage collection. */
async function usedBytes(collect: () => void): Promise<number> {
  for (let i = 0; i < 3; i++) {
    await sleep(100)
    collect()
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

/** Node's garbage collector as a function. */
function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}

/** Memory of a relay's route table per key of a sibling. */
async function routeTableBytesPerKey(keys: readonly Uint8Array[], collect: () => void): Promise<number> {
  const before = await usedBytes(collect)
  const routeTable = new RouteTable(1, () => undefined)
  const sibling = { rank: 0, isDraining: false, forward: () => undefined }
  for (const key of keys) routeTable.add(key, 0, sibling)
  const bytes = ((await usedBytes(collect)) - before) / keys.length
  if (routeTable.size !== keys.length) throw new Error('the route table does not have all keys')
  return bytes
}

interface NatsCosts {
  readonly relayBytes: number
  readonly serverBytes: number
  /** Per key that is announced while the relay runs, a few at a time. */
  readonly relayUs: number
  readonly serverUs: number
  /** Per key when a relay announces all its keys after a start. */
  readonly relayBulkUs: number
  readonly lookupRelayUs: number
  readonly lookupMs: number
}

/** User and system time of this process in µs. */
function ownUs(): number {
  const { user, system } = process.cpuUsage()
  return user + system
}

const NATS_ROWS: readonly (readonly [shown: Shown, read: (one: NatsCosts) => number])[] = [
  [
    { label: 'memory per announced key, at the relay', unit: 'bytes', digits: 0 },
    ({ relayBytes }) => relayBytes,
  ],
  [{ label: '– at the NATS server', unit: 'bytes', digits: 0 }, ({ serverBytes }) => serverBytes],
  [{ label: 'CPU per announced key, at the relay', unit: 'µs', digits: 1 }, ({ relayUs }) => relayUs],
  [{ label: '– at the NATS server', unit: 'µs', digits: 1 }, ({ serverUs }) => serverUs],
  [
    { label: '– at the relay, when it announces all keys after a start', unit: 'µs', digits: 1 },
    ({ relayBulkUs }) => relayBulkUs,
  ],
  [{ label: 'CPU per lookup, at both relays', unit: 'µs', digits: 1 }, ({ lookupRelayUs }) => lookupRelayUs],
  [{ label: 'lookups of one relay', unit: 'per second', digits: 0 }, ({ lookupMs }) => 1_000 / lookupMs],
]

async function lookUp(directory: NatsDirectory, key: Uint8Array): Promise<KeyLocation> {
  return await new Promise((resolve) => directory.locate(key, resolve))
}

async function lookUpAll(directory: NatsDirectory, keys: readonly Uint8Array[]): Promise<number[]> {
  const delaysMs: number[] = []
  for (let at = 0; at < LOOKUPS; at += LOOKUPS_AT_ONCE) {
    const some = keys.slice(at, at + LOOKUPS_AT_ONCE)
    const started = performance.now()
    await Promise.all(some.map(async (key) => await lookUp(directory, key)))
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
  const nothing = (): void => undefined
  const parts = { settings, credentials: undefined, onConnected: nothing, onState: nothing }
  const relay = new NatsDirectory({ ...parts, name: () => 'one.example.com' })
  const other = new NatsDirectory({ ...parts, name: () => 'two.example.com' })
  const pid = servers.pidOf('ONE')
  try {
    await waitUntil('both relays are connected', () => relay.isConnected && other.isConnected)
    const before = {
      bytes: await usedBytes(collect),
      serverBytes: await residentBytes(pid),
      us: ownUs(),
    }
    for (const key of keys) relay.announce(key)
    const last = keys.at(-1) ?? randomBytes(32)
    await waitUntil('all keys are announced', async () => (await lookUp(other, last)).kind === 'at', 60_000)
    const announcedUs = ownUs()
    const bytes = (await usedBytes(collect)) - before.bytes
    const serverBytes = (await residentBytes(pid)) - before.serverBytes
    const singleBefore = { us: ownUs(), serverUs: 1e6 * (await cpuSeconds(pid)) }
    for (let i = 0; i < SINGLE_KEYS; i += SINGLE_KEYS_PER_STEP) {
      for (let n = 0; n < SINGLE_KEYS_PER_STEP; n++) relay.announce(new Uint8Array(randomBytes(32)))
      await sleep(STEP_MS)
    }
    const singleAfter = { us: ownUs(), serverUs: 1e6 * (await cpuSeconds(pid)) }
    const lookupsFrom = ownUs()
    const delaysMs = await lookUpAll(other, keys)
    return {
      relayBytes: bytes / keys.length,
      serverBytes: serverBytes / keys.length,
      relayUs: (singleAfter.us - singleBefore.us) / SINGLE_KEYS,
      serverUs: (singleAfter.serverUs - singleBefore.serverUs) / SINGLE_KEYS,
      relayBulkUs: (announcedUs - before.us) / keys.length,
      // Both the relay that looks up and the relay that answers are in this process.
      lookupRelayUs: (ownUs() - lookupsFrom) / LOOKUPS,
      lookupMs: sampleOf(delaysMs).median / LOOKUPS_AT_ONCE,
    }
  } finally {
    await relay.close()
    await other.close()
    await servers[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  }
}

export const keyDirectory: Figure = {
  name: 'directory',
  title: 'Key directory compared with watching siblings',
  async measure(bench) {
    const rows = messageRows(bench)
    const found = await foreign('nats-server')
    if ('missing' in found) return { rows, notes: [`nats-server: ${found.missing}`] }
    const collect = garbageCollector()
    const keys = Array.from({ length: KEYS }, () => new Uint8Array(randomBytes(32)))
    const [tableBytes, costs]: [number[], NatsCosts[]] = [[], []]
    for (let round = 0; round < bench.effort.rounds; round++) {
      bench.progress.step(`NATS server, round ${round + 1} of ${bench.effort.rounds}`)
      tableBytes.push(await routeTableBytesPerKey(keys, collect))
      costs.push(await natsCosts(found.path, keys, collect))
    }
    const changeUs = bench.facts[PRESENCE_CHANGE_FACT] ?? Number.NaN
    const bearable = 'changes per second that use 5 % of a watching thread'
    rows.push(
      ownRow(
        { label: 'memory per key of a watched sibling, for each thread', unit: 'bytes', digits: 0 },
        tableBytes,
      ),
      ownRow({ label: 'CPU per change of a watched sibling, for each thread', unit: 'µs', digits: 1 }, [
        changeUs,
      ]),
      ownRow({ label: bearable, unit: '', digits: 0 }, [50_000 / changeUs]),
      ...NATS_ROWS.map(([shown, read]) => ownRow(shown, costs.map(read))),
    )
    return {
      rows,
      notes: [
        `Messages are counted in a simulation with the relays' own code, ${KEYS_PER_RELAY} home keys per relay: messages between relays that watch each other, or to and from NATS servers. Costs are measured with ${KEYS} keys and a NATS server on this machine; keys are announced ${SINGLE_KEYS_PER_STEP} per ${STEP_MS} ms unless noted otherwise.`,
      ],
    }
  },
}
