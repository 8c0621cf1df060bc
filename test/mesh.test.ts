// Relays as the program builds them, meshed over TLS on loopback. Tests what the mesh's own tests can't: dialling,
// certificates, threads and the settings that connect them.

import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DerpClient } from '#client/derp-client.ts'
import type { Region } from '#fleet/region.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import type { NatsSettings } from '#config/settings.ts'
import { parseMeshKeys } from '#protocol/key-file.ts'
import { keyPairFrom, type KeyPair } from '#protocol/node-key.ts'
import { makeCertificate, type Certificate } from './support/certificate.ts'
import { foreignPrograms } from './support/foreign.ts'
import { LiveRelay, NO_MESH, siblingAt } from './support/live-relay.ts'
import { NatsServers } from './support/nats.ts'
import { freePort, waitUntil } from './support/process.ts'
import { PROGRAM } from './support/program-path.ts'

const folder = mkdtempSync(join(tmpdir(), 'mesh-test-'))
let certificate: Certificate
let ca: string

beforeAll(async () => {
  certificate = await makeCertificate(folder, 'localhost')
  ca = readFileSync(certificate.certPath, 'utf8')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The regions of a fleet in which each relay is a region of its own. */
function regionsAt(ports: readonly number[]): readonly Region[] {
  return ports.map((port, i) => ({
    id: 900 + i,
    code: `r${i}`,
    name: `Region ${i}`,
    nodes: [{ name: `90${i}a`, hostname: 'localhost', derpPort: port, meshHost: '127.0.0.1' }],
  }))
}

interface MeshOptions {
  readonly threadCounts: readonly number[]
  readonly meshKeyPath?: string
  readonly meshKeys?: readonly Uint8Array[]
  readonly hasAdmin?: boolean
  /** The same for all relays; by default each has its own. */
  readonly nodeKey?: KeyPair
  /** Each relay is a region of its own. */
  readonly areRegions?: boolean
  readonly nats?: NatsSettings
  readonly rebalancePerSecond?: number
  /** Each is started when those before it listen. */
  readonly areInTurn?: boolean
}

/** Relays with the given thread counts, meshed with each other; each lists itself, too. */
async function startMesh(options: MeshOptions): Promise<LiveRelay[]> {
  const { threadCounts, meshKeyPath, meshKeys, areRegions, nats, hasAdmin, nodeKey } = options
  const { rebalancePerSecond = 0, areInTurn = false } = options
  const ports = await Promise.all(threadCounts.map(freePort))
  const siblings = areRegions === true ? [] : ports.map(siblingAt)
  const regions = areRegions === true ? regionsAt(ports) : []
  const { certPath: certificatePath, keyPath } = certificate
  const relays: Promise<LiveRelay>[] = []
  for (const [i, threadCount] of threadCounts.entries()) {
    const derp = { host: '127.0.0.1', port: ports[i] ?? 0 }
    const relay = LiveRelay.start({
      derp,
      threadCount,
      meshKeyPath,
      ...(meshKeys && { meshKeys }),
      ...(nodeKey && { nodeKey }),
      ...(hasAdmin === true ? { admin: { host: '127.0.0.1', port: 0 } } : {}),
      certificate: { certificatePath, keyPath },
      mesh: { ...NO_MESH, siblings, regions, node: `90${i}a`, nats, ca, rebalancePerSecond },
    })
    relays.push(relay)
    if (areInTurn) await relay
  }
  return await Promise.all(relays)
}

/** Sends repeatedly until a packet arrives, because presence takes a moment to spread. */
async function reaches(from: DerpClient, to: DerpClient, text: string): Promise<void> {
  const arrived = to.next('packet', ({ packet }) => packet.toString() === text)
  const timer = setInterval(() => from.send(to.publicKey, Buffer.from(text)), 20)
  await arrived.finally(() => clearInterval(timer))
}

describe.each([
  ['of one thread each', [1, 1]],
  ['of two threads and of one', [2, 1, 2]],
])('relays %s', (_what, threadCounts) => {
  it('carry packets both ways between clients of any two', async () => {
    const relays = await startMesh({ threadCounts })
    try {
      const clients = await Promise.all(relays.map(async (relay) => await relay.client()))
      for (const [i, from] of clients.entries()) {
        for (const [j, to] of clients.entries()) await reaches(from, to, `from ${i} to ${j}`)
      }
    } finally {
      for (const relay of relays) await relay[Symbol.asyncDispose]()
    }
  })
})

/** The commands of the documentation's section on exchanging the mesh key. */
function replacementSteps(): readonly string[] {
  const page = readFileSync(join(import.meta.dirname, '../docs/fleet.md'), 'utf8')
  const [, block = ''] = /## Replacing the mesh key[^]*?```sh\n([^]*?)```/.exec(page) ?? []
  return block.split('\n').filter((line) => line !== '')
}

it(
  'a mesh key is replaced as documented while clients send packets, and the old key is refused afterwards',
  {
    timeout: 60_000,
  },
  async () => {
    const path = join(folder, 'mesh.key')
    const run = (script: string): void => {
      const environment = {
        ...process.env,
        PATH: `${dirname(PROGRAM)}:${process.env.PATH ?? ''}`,
      }
      execFileSync('bash', ['-ec', script], { cwd: folder, env: environment })
    }
    run('derpfleet keygen -mesh -o mesh.key')
    const old = parseMeshKeys(readFileSync(path, 'utf8'))
    if ('problem' in old) throw new Error(old.problem)
    const relays = await startMesh({ threadCounts: [1, 2], meshKeyPath: path, meshKeys: old.value })
    try {
      const [first, second] = relays as [LiveRelay, LiveRelay]
      const [alice, bob] = [await first.client(), await second.client()]
      await reaches(alice, bob, 'with the old key')
      const [umask = '', keygen = '', ...steps] = replacementSteps()
      expect(steps).toHaveLength(3)
      run(`${umask}\n${keygen}`)
      const next = parseMeshKeys(readFileSync(join(folder, 'new.key'), 'utf8'))
      if ('problem' in next) throw new Error(next.problem)
      for (const [i, step] of steps.entries()) {
        run(`${umask}\n${step}`)
        expect(statSync(path).mode & 0o777).toBe(0o600)
        const lines = readFileSync(path, 'utf8')
        for (const relay of relays) await usesKeys(relay, lines)
        await reaches(alice, bob, `after step ${i + 1}`)
        await reaches(bob, alice, `after step ${i + 1}, back`)
      }
      const withOld = await first.client({ meshKey: old.value[0] })
      const ended = new Promise((resolve) => void withOld.on('closed', resolve))
      withOld.watch()
      expect(await ended).toMatchObject({ kind: 'ended' })
      const withNew = await first.client({ meshKey: next.value[0] })
      const presence = withNew.next('peerPresent')
      withNew.watch()
      await presence
    } finally {
      for (const relay of relays) await relay[Symbol.asyncDispose]()
    }
  },
)

/** Waits until the relay admits the last of the keys as a mesh key, on every thread. */
async function usesKeys(relay: LiveRelay, text: string): Promise<void> {
  const parsed = parseMeshKeys(text)
  if ('problem' in parsed) throw new Error(parsed.problem)
  const last = parsed.value.at(-1) as Uint8Array
  for (let times = 0; times < 2 * relay.settings.threadCount; times++) {
    await waitUntil('the key is admitted', async () => await relay.admitsMeshKey(last), 10_000)
  }
}

it('a relay whose sibling listens is ready only when its links are up, and within ten seconds all links are measured', async () => {
  // The first one has dialled in vain, and dials again within six seconds and a quarter.
  const relays = await startMesh({ threadCounts: [1, 2], areRegions: true, hasAdmin: true, areInTurn: true })
  const [first, second] = relays as [LiveRelay, LiveRelay]
  const bothMs = performance.now()
  try {
    await waitUntil('it is ready', async () => {
      const { status } = await fetch(`http://127.0.0.1:${second.addresses.admin?.port}/readyz`)
      return status === 200
    })
    expect([...(await second.samples(/^derp_sibling_up/)).values()]).toEqual([1])
    for (const relay of [first, second]) {
      await waitUntil(
        'the link is up and its round trip is measured',
        async () => {
          const [up, roundTrips] = [/^derp_sibling_up/, /^derp_sibling_round_trip_seconds\{/]
          const isUp = [...(await relay.samples(up)).values()].join() === '1'
          return isUp && (await relay.samples(roundTrips)).size === 1
        },
        10_000,
      )
    }
    expect(performance.now() - bothMs).toBeLessThan(10_000)
  } finally {
    for (const relay of relays) await relay[Symbol.asyncDispose]()
  }
})

// Side by side: both wait for what a relay does every few seconds.
it.concurrent('rebalances clients at the rate of the setting, which holds for the relay and not for each thread', async () => {
  // Each thread's share is less than one client per second, so fractions have to be carried over.
  const relays = await startMesh({ threadCounts: [3, 1], areRegions: true, rebalancePerSecond: 2 })
  const [relay] = relays as [LiveRelay, LiveRelay]
  try {
    const atMs: number[] = []
    const idealNodes = [...Array<string>(60).fill('901a'), ...Array<undefined>(6).fill(undefined)]
    const clients = await Promise.all(
      idealNodes.map(async (idealNode) => await relay.client({ ...(idealNode && { idealNode }) })),
    )
    for (const client of clients) client.on('closed', () => atMs.push(performance.now()))
    // The sibling must have been up for ten seconds.
    await waitUntil('the first clients are closed', () => atMs.length >= 2, 30_000)
    const [beforeMs, before] = [performance.now(), atMs.length]
    await waitUntil('more clients are closed', () => atMs.length >= before + 14, 30_000)
    // Seven seconds at two clients per second, five if each thread is about to close one; two at three times that rate.
    expect(performance.now() - beforeMs).toBeGreaterThan(4_000)
    expect(clients.slice(60).every(({ isConnected }) => isConnected)).toBe(true)
  } finally {
    for (const one of relays) await one[Symbol.asyncDispose]()
  }
}, 90_000)

it.concurrent('a regions file without this relay or without regions is rejected and changes nothing; a valid one is used', async () => {
  const path = join(folder, 'live-regions.yaml')
  const [own, other] = await Promise.all([freePort(), freePort()])
  const written = (...ports: number[]): string =>
    ports
      .map(
        (port, i) =>
          `  ${900 + i}: { code: r${i}, nodes: [{ name: n${port}, hostname: localhost, derpport: ${port}, mesh: 127.0.0.1 }] }`,
      )
      .join('\n')
  const write = (regions: string): void => writeFileSync(path, `regions:\n${regions}\n`)
  write(written(own, other))
  const read = readRegionsFile(path, readFileSync(path, 'utf8'))
  const regions = 'regions' in read ? read.regions : []
  await using relay = await LiveRelay.start({
    derp: { host: '127.0.0.1', port: own },
    admin: { host: '127.0.0.1', port: 0 },
    mesh: { ...NO_MESH, regionsPath: path, regions, node: `n${own}`, ca },
  })
  const successful = /^derp_config_last_reload_successful\{file="regions-file"/
  const isUsed = async (): Promise<boolean> => [...(await relay.samples(successful)).values()][0] === 1
  const siblings = async (): Promise<number> => (await relay.samples(/^derp_sibling_up\{/)).size
  await waitUntil('the sibling is listed', async () => (await siblings()) === 1)
  for (const wrong of [written(other), '  {}', '  900: [', '']) {
    write(wrong)
    await waitUntil('it is rejected', async () => !(await isUsed()), 10_000)
    expect(await siblings()).toBe(1)
    write(written(own, other))
    await waitUntil('it is used again', isUsed, 10_000)
  }
  write(written(own))
  await waitUntil('the sibling is gone', async () => (await siblings()) === 0, 10_000)
  expect(await isUsed()).toBe(true)
}, 60_000)

it('two relays with one node key report it; each is ready and shows the other as down', async () => {
  const nodeKey = keyPairFrom(randomBytes(32))
  const relays = await startMesh({ threadCounts: [1, 2], hasAdmin: true, nodeKey })
  try {
    for (const relay of relays) {
      const page = async (): Promise<string> =>
        await (await fetch(`http://127.0.0.1:${relay.addresses.admin?.port}/readyz?verbose`)).text()
      await waitUntil('it reports the key', async () =>
        (await page()).includes('has the key of this relay, localhost, too'),
      )
      await waitUntil('it is ready', async () => (await page()).startsWith('ready'))
      // The relay itself is listed as well, and has no series.
      expect([...(await relay.samples(/^derp_sibling_up\{/)).values()]).toEqual([0])
    }
  } finally {
    for (const relay of relays) await relay[Symbol.asyncDispose]()
  }
})

const found = await foreignPrograms('nats-server')

describe.each([
  ['that watch each other', false],
  ['with a key directory', true],
])('relays of three regions %s', (_how, hasDirectory) => {
  it.skipIf(hasDirectory && 'missing' in found)(
    'reach the home clients of each other',
    { timeout: 60_000 },
    async () => {
      const program = 'paths' in found ? found.paths['nats-server'] : ''
      const servers = hasDirectory
        ? await NatsServers.start(program, { folder, names: ['EU', 'US'] })
        : undefined
      const nats = servers && {
        servers: [servers.url('EU'), servers.url('US')],
        credentials: undefined,
        ca: undefined,
        secret: new Uint8Array(32).fill(9),
      }
      const relays = await startMesh({
        threadCounts: [2, 1, 1],
        areRegions: true,
        ...(nats === undefined ? {} : { nats }),
      })
      try {
        const clients = await Promise.all(
          relays.map(async (relay) => await relay.client({ isPreferred: true })),
        )
        for (const [i, from] of clients.entries()) {
          for (const [j, to] of clients.entries()) await reaches(from, to, `from ${i} to ${j}`)
        }
      } finally {
        for (const relay of relays) await relay[Symbol.asyncDispose]()
        await servers?.[Symbol.asyncDispose]()
      }
    },
  )
})
