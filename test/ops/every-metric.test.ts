// Every metric of docs/metrics.md moves: on the pages of running relays through which all kinds of clients, packets, requests
// and mistakes pass. The few that move only after faults are in a list, and move on pages that are made for it.

import { connect } from 'node:net'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { expect, it } from 'vitest'
import { askStun } from '#client/stun-request.ts'
import { newKeyPair, type DerpClient } from '#client/derp-client.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import type { Region } from '#fleet/region.ts'
import { closePeerFrame, relayStateFrame } from '#protocol/frames.ts'
import { directoryFamilies } from '#ops/directory-families.ts'
import { drainFamilies } from '#ops/drain-families.ts'
import { DrainWatch } from '#ops/drain-watch.ts'
import { mapFamilies } from '#ops/map-families.ts'
import { monthFamilies } from '#ops/month-families.ts'
import { Metrics, type MetricSources } from '#ops/metrics.ts'
import { qualityFamilies } from '#ops/relay-quality.ts'
import { Varz } from '#ops/varz.ts'
import { Counter, Counters } from '#relay/counters.ts'
import { DropReason, PacketKind } from '#relay/drop-reason.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { issueCertificate, makeAuthority } from '../support/certificate.ts'
import { checkedBy, LIMITS, LiveRelay, MESH_KEY, NO_MESH } from '../support/live-relay.ts'
import { freePort, waitUntil } from '../support/process.ts'
import { RawSibling } from '../support/raw-sibling.ts'
import { messageOf } from '../support/relay-states.ts'
import { VerifyServer } from '../support/verify-server.ts'
import { disco, frames } from '../vectors/frames.ts'
import { BY_CHANCE, CONSTANT, RARE } from './still-metrics.ts'
import { certificate, certificates, laneOf, QUALITY, SIBLING, testSources } from './sources.ts'
import { allSeries, parseClassic } from './strict-exposition.ts'

/** The families of which a series has changed or appeared between two looks at a relay's pages. */
class Movements {
  readonly moved = new Set<string>()
  readonly #last = new Map<string, number>()
  #looks = 0

  /** @param pages texts of `/metrics` and `/debug/varz` */
  look(pages: readonly string[]): void {
    for (const [at, page] of pages.entries()) {
      for (const [series, value] of allSeries(parseClassic(page))) {
        const before = this.#last.get(`${at} ${series}`)
        this.#last.set(`${at} ${series}`, value)
        if (before === undefined ? this.#looks === 0 || value === 0 : before === value) continue
        const name = series.replace(/\{.*$/, '')
        this.moved.add(name).add(name.replace(/_(?:bucket|sum|count)$/, ''))
      }
    }
    this.#looks++
  }
}

async function pagesOf(relay: LiveRelay): Promise<readonly string[]> {
  return await Promise.all(['/metrics', '/debug/varz'].map(async (path) => await relay.page(path)))
}

/** The same pages of a relay that does not exist. */
async function madePages(sources: MetricSources): Promise<readonly string[]> {
  return [(await new Metrics(sources).page(undefined)).text, (await new Varz(sources).page()).text]
}

/** Sources in which everything has happened that the tests of running relays do not bring about. */
function troubledSources(): MetricSources {
  const counters = new Counters()
  for (const name of Object.values(Counter)) counters.add(name, 1)
  counters.countDrop(DropReason.handOffQueue, PacketKind.data, 100)
  const drain = new DrainWatch([counters])
  drain.begin()
  counters.countDrop(DropReason.handOffQueue, PacketKind.data, 100)
  const answers = { at: 11, nowhere: 5, unknown: 0 }
  const directory = { isConnected: false, detail: '', connects: 2, announced: 90, answers }
  const later = { ...certificate, notBeforeMs: Date.UTC(2031, 0, 1), notAfterMs: Date.UTC(2031, 3, 1) }
  const { failures, ...status } = certificates([later], 'the authority refused')
  return testSources({
    run: 2,
    threads: [counters],
    threadDeaths: () => [1],
    lane: laneOf(1),
    logLinesLost: () => 1,
    isStateFolderUsable: false,
    admission: () => ({
      waiting: 4,
      asking: 64,
      oldestWaitMs: 2_000,
      overflows: 3,
      knownKeys: 3,
      listedKeys: 2,
      lease: { serial: 8, keys: 4, notBeforeMs: 1_899_000_000_000, notAfterMs: 1_900_000_000_000 },
      bans: { timed: 1, standing: 3 },
      graceLeftRatio: 0.5,
      backends: [],
    }),
    siblings: () => [{ ...SIBLING, keysRefused: 1, waitingBytes: 1, dropped: 1, lossRatio: 0.1 }],
    quality: () => qualityFamilies({ ...QUALITY, hasCountries: false }),
    certificates: () => ({ ...status, failures: new Map([...failures, ['expired', 1]]) }),
    mesh: () => [
      ...directoryFamilies(directory),
      ...mapFamilies({
        isStale: true,
        file: [],
        regions: 3,
        changes: { removals: 0, returns: 0, edits: 0 },
      }),
      ...drainFamilies(drain),
      ...monthFamilies(8e12, [{ alarm: 'soon' }]),
    ],
    limits: {
      ...LIMITS,
      outboxBytesMax: 1,
      outboxPacketsMax: 1,
      waitingBytesMax: 1,
      memoryBytesMax: 1,
      writeTimeoutMs: 1_000,
      acceptsPerSecond: 1,
      acceptBurst: 1,
      rate: { bytesPerSecond: 1, burstBytes: 1 },
      month: { bytesMax: 1, over: 'disco' },
      budgets: { ...LIMITS.budgets, relay: { bytesPerSecond: 8_192, packetsPerSecond: 1 } },
    },
  })
}

async function documentedMetrics(): Promise<readonly string[]> {
  const page = await readFile('docs/metrics.md', 'utf8')
  return [...page.matchAll(/^\| `([a-z_0-9]+)` \| (?:gauge|counter|histogram|untyped) \|/gm)].map(
    ([, name = '']) => name,
  )
}

/** The means of a peak are of ten seconds; a regions file is read again within five. */
const CARRY_MS = 12_000
/** Of so many clients, a round trip is read every second. */
const CROWD = 60
const anyPort = { host: '127.0.0.1', port: 0 }

/** Regions 900 and 901 are the two relays, and any further ones do not exist. */
function regionsText(ports: readonly number[], ghosts: number): string {
  const names = [...ports.keys(), ...Array.from({ length: ghosts }, (_, n) => ports.length + n)]
  const lines = names.map((at) => {
    const node = `{ name: ${900 + at}a, hostname: localhost, derpport: ${ports[at] ?? 1 + at}, mesh: 127.0.0.1 }`
    return `  ${900 + at}: { code: r${at}, nodes: [${node}] }\n`
  })
  return `regions:\n${lines.join('')}`
}

function regionsOf(text: string): readonly Region[] {
  const read = readRegionsFile('regions.yaml', text)
  if (!('regions' in read)) throw new Error('no regions')
  return read.regions
}

async function startAt(at: number, parts: Parts): Promise<LiveRelay> {
  const { ports, folder, verify } = parts
  const certificate = { certificatePath: folder.at('localhost.crt'), keyPath: folder.at('localhost.key') }
  return await LiveRelay.start({
    derp: { host: '127.0.0.1', port: ports[at] ?? 0 },
    admin: anyPort,
    stun: anyPort,
    threadCount: 2,
    verbsToken: 'a'.repeat(40),
    certificate,
    mesh: {
      ...NO_MESH,
      regions: regionsOf(regionsText(ports, 0)),
      regionsPath: folder.at('regions.yaml'),
      node: `90${at}a`,
      ca: await readFile(folder.at('authority.crt'), 'utf8'),
    },
    admission: checkedBy(verify.url),
    limits: {
      ...LIMITS,
      keepAlive: { minMs: 1_000, maxMs: 1_500 },
      writeTimeoutMs: 1_000,
      outboxBytesMax: 65_536,
      rate: { bytesPerSecond: 20_000_000, burstBytes: 200_000 },
    },
    measure: { countries: true, capacityBits: 1_000_000_000, isRankingServed: false },
    // Long enough for a look at clients that are still to be moved.
    drain: { settleMs: 0, spreadMs: 2_000, scrapeWaitMs: 0 },
  })
}

interface Parts {
  readonly ports: readonly number[]
  readonly folder: TemporaryFolder
  readonly verify: VerifyServer
}

/** Clients of every kind, and packets of every kind between them. */
async function beClients(here: LiveRelay, there: LiveRelay): Promise<readonly DerpClient[]> {
  const key = newKeyPair()
  const alice = await here.client({ isPreferred: true })
  const bob = await there.client({ isPreferred: true })
  const cathy = await here.client({ way: 'websocket' })
  await here.client({ isProber: true, way: 'upgrade' })
  await here.client({ idealNode: '901a' })
  const first = await here.client({ key })
  const twin = await here.client({ key })
  await here.client({ meshKey: MESH_KEY, isWatcher: true })
  // A round trip is read of each once a minute.
  const crowd = await Promise.all(Array.from({ length: CROWD }, async () => await here.client()))
  alice.connection.write(frames.unknown)
  await waitUntil('a packet passes to the other relay', async () => {
    alice.send(bob.publicKey, Buffer.from('hello'))
    bob.send(alice.publicKey, Buffer.from('hello'))
    return (
      (await here.samples(/^derp_mesh_forwarded_packets_total\{direction="in"\}/)).values().next().value !== 0
    )
  })
  alice.send(bob.publicKey, disco.message)
  // Of so many, some are on her thread, and some are not.
  for (const client of [cathy, twin, alice, ...crowd.slice(0, 20)])
    alice.send(client.publicKey, Buffer.alloc(100))
  alice.send(newKeyPair().publicKey, Buffer.alloc(10))
  alice.send(newKeyPair().publicKey, disco.message)
  return [alice, bob, first, twin]
}

/** Requests that are mistaken in every way. */
async function beWrong(relay: LiveRelay): Promise<void> {
  const admin = `http://127.0.0.1:${relay.addresses.admin?.port}`
  await fetch(`${admin}/v1/status`, { headers: { authorization: 'Bearer wrong' } })
  await fetch(`${admin}/v1/drain`, { method: 'POST', headers: { authorization: 'Bearer wrong' } })
  const noTls = connect(relay.port, '127.0.0.1', () => noTls.end('GET / HTTP/1.0\r\n\r\n'))
  const noHttp = connectTls({ port: relay.port, host: '127.0.0.1', rejectUnauthorized: false }, () =>
    noHttp.end('nonsense\r\n\r\n'),
  )
  for (const socket of [noTls, noHttp]) socket.on('error', () => undefined).resume()
  const { port = 0 } = relay.addresses.stun ?? {}
  await askStun('127.0.0.1', port, 1_000)
}

/** A sibling that claims what another has, and sends nonsense. */
async function beFalseSibling(relay: LiveRelay): Promise<void> {
  await using sibling = await RawSibling.open(relay.port, MESH_KEY)
  await sibling.send(relayStateFrame(messageOf('intruder', { key: sibling.key, nodes: ['901a'] })))
  await sibling.send(closePeerFrame(newKeyPair().publicKey))
  for (let n = 0; n < 60; n++) await sibling.send(relayStateFrame(Buffer.from('nonsense')))
  await sibling.answered()
  await sleep(1_200)
}

/** For longer than a peak needs, which is a mean of ten seconds; enough in a second to tell what a packet costs. */
async function carry(alice: DerpClient, bob: DerpClient, twins: readonly DerpClient[]): Promise<void> {
  const timer = setInterval(() => {
    // Both are alive.
    for (const twin of twins) twin.notePreferred(false)
    for (let n = 0; n < 40; n++) alice.send(bob.publicKey, Buffer.alloc(500))
  }, 10)
  await sleep(CARRY_MS)
  clearInterval(timer)
}

it('every metric moves', { timeout: 90_000 }, async () => {
  using folder = new TemporaryFolder()
  const authority = await makeAuthority(folder.path, 'authority')
  await issueCertificate(folder.path, 'localhost', authority)
  const verify = await VerifyServer.start()
  const ports = [await freePort(), await freePort()]
  const writeRegions = (text: string): string => folder.write('regions.yaml', text)
  writeRegions(regionsText(ports, 0))
  const live = new Movements()
  await using here = await startAt(0, { ports, folder, verify })
  const look = async (): Promise<void> => live.look(await pagesOf(here))
  await look()
  await using there = await startAt(1, { ports, folder, verify })
  const [alice, bob, ...twins] = await beClients(here, there)
  if (alice === undefined || bob === undefined) throw new Error('unreachable')
  await look()
  await Promise.all([beWrong(here), beFalseSibling(here)])
  await look()
  const edits = [regionsText(ports, 3), 'regions: nonsense']
  const carrying = carry(alice, bob, twins)
  for (const text of edits) {
    writeRegions(text)
    await sleep(CARRY_MS / edits.length)
    await look()
  }
  await carrying
  await sleep(1_000)
  alice.notePreferred(false)
  await alice.ping()
  alice.notePreferred(true)
  await alice.ping()
  await look()
  verify.delayMs = undefined
  const waiting = here.client().catch(() => undefined)
  await waitUntil('a login waits', async () => (verify.open > 0 ? (await look(), true) : false))
  await verify[Symbol.asyncDispose]()
  await waiting
  await here.client().catch(() => undefined)
  await waitUntil('the backend is down', async () => {
    await look()
    return live.moved.has('derp_admission_backend_up')
  })
  let isDrained = false
  const draining = here.drain().finally(() => (isDrained = true))
  // How many clients are left moves while they leave.
  while (!isDrained) await look()
  await draining
  // Pages are made a few times a second.
  await sleep(500)
  await look()
  const documented = await documentedMetrics()
  const still = documented.filter((name) => !live.moved.has(name) && !CONSTANT.has(name))
  const isCertain = (name: string): boolean => !BY_CHANCE.has(name)
  expect(still.filter(isCertain)).toEqual(documented.filter((name) => RARE.includes(name) && isCertain(name)))
})

it('what moves rarely moves as well', async () => {
  const made = new Movements()
  for (const sources of [testSources(), troubledSources()]) made.look(await madePages(sources))
  expect(RARE.filter((name) => !made.moved.has(name))).toEqual([])
})
