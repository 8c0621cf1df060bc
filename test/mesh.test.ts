// Relays as the program builds them, meshed over TLS on loopback: what the mesh's own tests can't see, which is
// dialling, certificates, threads and the settings between.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, it } from 'vitest'
import type { DerpClient } from '#client/derp-client.ts'
import type { SiblingSettings } from '#config/settings.ts'
import { makeCertificate, type Certificate } from './support/certificate.ts'
import { LiveRelay } from './support/live-relay.ts'

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
  return { name: `localhost:${port}`, host: 'localhost', port, dialHost: '127.0.0.1', certName: undefined, isInside: true }
}

/** Relays with so many threads each, meshed with each other; all list themselves as well. */
async function startMesh(...threadCounts: number[]): Promise<LiveRelay[]> {
  const ports = await Promise.all(threadCounts.map(freePort))
  const siblings = ports.map(siblingAt)
  return await Promise.all(
    threadCounts.map(async (threadCount, i) => {
      const derp = { host: '127.0.0.1', port: ports[i] ?? 0 }
      const { certPath: certificatePath, keyPath } = certificate
      return await LiveRelay.start({
        derp,
        threadCount,
        certificate: { certificatePath, keyPath },
        mesh: { siblings, ca },
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
    const relays = await startMesh(...threadCounts)
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
