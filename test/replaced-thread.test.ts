// A relay thread that is started later than the others hears what was said before it was there: whom to mesh with, and
// which mesh keys let siblings in.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { expect, it, onTestFinished } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { makeCertificate } from './support/certificate.ts'
import { LiveRelay, MESH_KEY, NO_MESH } from './support/live-relay.ts'
import { freeTcpPort, waitUntil } from './support/process.ts'

const NEW_KEY = new Uint8Array(32).fill(0xab)

async function metric(relay: LiveRelay, series: RegExp): Promise<number[]> {
  const page = await (await fetch(`http://127.0.0.1:${relay.addresses.admin?.port}/metrics`)).text()
  const lines = page.split('\n').filter((line) => series.test(line))
  return lines.map((line) => Number(line.slice(line.lastIndexOf(' '))))
}

/** Whether who shows that mesh key is let in. */
async function letsIn(relay: LiveRelay, meshKey: Uint8Array): Promise<boolean> {
  const client = await relay.client({ meshKey })
  const heard = Promise.race([
    client.next('peerPresent').then(() => true),
    new Promise<boolean>((resolve) => void client.on('closed', () => resolve(false))),
  ]).catch(() => false)
  client.watch()
  const isIn = await heard
  await client.close()
  return isIn
}

it('a thread in place of one that has died reaches the mesh, and refuses a mesh key that was revoked before', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'replaced-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const { certPath: certificatePath, keyPath } = await makeCertificate(folder, 'localhost')
  const pskPath = join(folder, 'psk')
  writeFileSync(pskPath, toHex(MESH_KEY))
  const [own, other] = [await freeTcpPort(), await freeTcpPort()]
  const shared = {
    certificate: { certificatePath, keyPath },
    meshKeyPath: pskPath,
    mesh: { ...NO_MESH, ca: readFileSync(certificatePath, 'utf8') },
  }
  const siblings = [
    {
      name: `localhost:${other}`,
      host: 'localhost',
      port: other,
      dialHost: '127.0.0.1',
      certName: undefined,
      isWatched: true,
      nodes: [],
      isInside: true,
    },
  ]
  const workers: Worker[] = []
  const observe = (worker: Worker): void => void workers.push(worker)
  await using far = await LiveRelay.start({ ...shared, derp: { host: '127.0.0.1', port: other } })
  process.on('worker', observe)
  onTestFinished(() => void process.off('worker', observe))
  await using relay = await LiveRelay.start({
    ...shared,
    derp: { host: '127.0.0.1', port: own },
    admin: { host: '127.0.0.1', port: 0 },
    threadCount: 2,
    mesh: { ...shared.mesh, siblings },
  })
  const isUp = async (): Promise<boolean> => (await metric(relay, /^derp_sibling_up\{/))[0] === 1
  await waitUntil('the sibling is reached', isUp)
  writeFileSync(pskPath, toHex(NEW_KEY))
  for (const one of [relay, far]) {
    for (let times = 0; times < 4; times++) {
      await waitUntil('the old key lets nobody in', async () => !(await letsIn(one, MESH_KEY)), 10_000)
    }
  }
  const [alice, bob] = [await relay.client(), await far.client()]
  const before = await metric(relay, /^derp_sibling_packets_total\{/)
  // Each meets a fault of its own.
  for (const worker of workers.slice(0, 2)) worker.postMessage({ kind: 'unacknowledged', remotes: 7 })
  await waitUntil(
    'both have been replaced',
    async () => {
      const restarts = await metric(relay, /^derp_thread_restarts_total\{/)
      return restarts.every((count) => count === 1) && (await metric(relay, /^derp_ready /))[0] === 1
    },
    20_000,
  )
  await waitUntil('the sibling is reached again', isUp, 20_000)
  expect((await metric(relay, /^derp_sibling_packets_total\{/))[0]).toBeGreaterThanOrEqual(before[0] ?? 0)
  for (let times = 0; times < 6; times++) {
    expect([await letsIn(relay, MESH_KEY), await letsIn(relay, NEW_KEY)]).toEqual([false, true])
  }
  await alice.close()
  for (let times = 0; times < 4; times++) {
    const again = await relay.client()
    const arrived = bob.next('packet', ({ source }) => Buffer.from(source).equals(again.publicKey))
    const timer = setInterval(() => again.send(bob.publicKey, Buffer.from('hello')), 20)
    await arrived.finally(() => clearInterval(timer))
  }
}, 60_000)
