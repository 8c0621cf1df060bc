// Relays as the program builds them, meshed over TLS on loopback: what the mesh's own tests can't see, which is
// dialling, certificates, threads and the settings between.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DerpClient } from '#client/derp-client.ts'
import type { FleetRegion } from '#config/regions-file.ts'
import type { NatsSettings, SiblingSettings } from '#config/settings.ts'
import { toHex } from '#protocol/bytes.ts'
import { makeCertificate, type Certificate } from './support/certificate.ts'
import { foreigners } from './support/foreign.ts'
import { LiveRelay, MESH_KEY, NO_MESH } from './support/live-relay.ts'
import { NatsServers } from './support/nats.ts'

const folder = mkdtempSync(join(tmpdir(), 'mesh-test-'))
let certificate: Certificate
let ca: string

beforeAll(async () => {
  certificate = await makeCertificate(folder, 'localhost')
  ca = readFileSync(certificate.certPath, 'utf8')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A port that was free a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => void server.close(resolve))
  return port
}

function siblingAt(port: number): SiblingSettings {
  return {
    name: `localhost:${port}`,
    host: 'localhost',
    port,
    dialHost: '127.0.0.1',
    certName: undefined,
    isWatched: true,
    nodes: [],
    isInside: true,
  }
}

/** The file of a fleet in which each relay is a region. */
function regionsAt(ports: readonly number[]): readonly FleetRegion[] {
  return ports.map((port, i) => ({
    id: 900 + i,
    code: `r${i}`,
    name: `Region ${i}`,
    nodes: [{ name: `90${i}a`, hostname: 'localhost', port, meshHost: '127.0.0.1', certName: undefined }],
  }))
}

interface MeshOptions {
  readonly threadCounts: readonly number[]
  readonly meshKeyPath?: string
  /** Each relay is a region of its own. */
  readonly areRegions?: boolean
  readonly nats?: NatsSettings
}

/** Relays with so many threads each, meshed with each other; all list themselves as well. */
async function startMesh({ threadCounts, meshKeyPath, areRegions, nats }: MeshOptions): Promise<LiveRelay[]> {
  const ports = await Promise.all(threadCounts.map(freePort))
  const siblings = areRegions === true ? [] : ports.map(siblingAt)
  const regions = areRegions === true ? regionsAt(ports) : []
  return await Promise.all(
    threadCounts.map(async (threadCount, i) => {
      const derp = { host: '127.0.0.1', port: ports[i] ?? 0 }
      const { certPath: certificatePath, keyPath } = certificate
      return await LiveRelay.start({
        derp,
        threadCount,
        meshKeyPath,
        certificate: { certificatePath, keyPath },
        mesh: { ...NO_MESH, siblings, regions, node: `90${i}a`, nats, ca },
      })
    }),
  )
}

/** Sends until it has arrived: presence takes its time. */
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

it('a mesh key is exchanged for another while clients talk, and the old one lets nobody in any more', async () => {
  const path = join(folder, 'psk')
  const [old, next] = [toHex(MESH_KEY), 'ab'.repeat(32)]
  writeFileSync(path, old)
  const relays = await startMesh({ threadCounts: [1, 1], meshKeyPath: path })
  try {
    const [first, second] = relays as [LiveRelay, LiveRelay]
    const [alice, bob] = [await first.client(), await second.client()]
    await reaches(alice, bob, 'with the old key')
    for (const [i, text] of [`${old}\n${next}`, `${next}\n${old}`, 'no key at all', next].entries()) {
      writeFileSync(path, text)
      // Longer than it takes until the file is looked at.
      await sleep(2_500)
      await reaches(alice, bob, `after change ${i}`)
      await reaches(bob, alice, `after change ${i}, back`)
    }
    const withOld = await first.client({ meshKey: MESH_KEY })
    const ended = new Promise((resolve) => void withOld.on('closed', resolve))
    withOld.watch()
    expect(await ended).toMatchObject({ kind: 'ended' })
    const withNew = await first.client({ meshKey: Buffer.from(next, 'hex') })
    const presence = withNew.next('peerPresent')
    withNew.watch()
    await presence
  } finally {
    for (const relay of relays) await relay[Symbol.asyncDispose]()
  }
})

const found = await foreigners('nats-server')

describe.each([
  ['that watch each other', false],
  ['that ask a key directory', true],
])('relays of three regions %s', (_how, hasDirectory) => {
  it.skipIf(hasDirectory && 'missing' in found)(
    'reach home clients of one another',
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
