// What the death of a relay thread leaves behind in the control thread: no links, no admission requests. And what its
// replacement must be told although it was told before: the siblings and the mesh keys.

import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { expect, it, onTestFinished } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { makeCertificate } from '../support/certificate.ts'
import { checkedBy, LiveRelay, MESH_KEY, NO_MESH, siblingAt } from '../support/live-relay.ts'
import { causeFault, observeWorkers } from '../support/observed-workers.ts'
import { freePort, waitUntil } from '../support/process.ts'
import { VerifyServer } from '../support/verify-server.ts'

const NEW_KEY = new Uint8Array(32).fill(0xab)
const patiently = { timeout: 20_000, interval: 5 }
const anyPort = { host: '127.0.0.1', port: 0 }

/** Makes a thread fail, and waits for its end. */
async function kill(worker: Worker | undefined): Promise<void> {
  if (worker === undefined) throw new Error('there is no such thread')
  const ended = once(worker, 'exit')
  causeFault(worker)
  await ended
}

/** A relay and its sibling; both read their mesh keys from one file. */
interface Pair {
  readonly far: LiveRelay
  readonly relay: LiveRelay
  readonly workers: readonly Worker[]
  readonly pskPath: string
}

async function startPair(threadCount: number): Promise<Pair> {
  const folder = mkdtempSync(join(tmpdir(), 'thread-death-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const { certPath: certificatePath, keyPath } = await makeCertificate(folder, 'localhost')
  const pskPath = join(folder, 'psk')
  writeFileSync(pskPath, toHex(MESH_KEY))
  const port = await freePort()
  const shared = {
    certificate: { certificatePath, keyPath },
    meshKeyPath: pskPath,
    mesh: { ...NO_MESH, ca: readFileSync(certificatePath, 'utf8') },
  }
  const far = await LiveRelay.start({ ...shared, derp: { host: '127.0.0.1', port } })
  onTestFinished(async () => await far[Symbol.asyncDispose]())
  const workers = observeWorkers()
  const mesh = { ...shared.mesh, siblings: [siblingAt(port)] }
  const relay = await LiveRelay.start({ ...shared, admin: anyPort, threadCount, mesh })
  onTestFinished(async () => await relay[Symbol.asyncDispose]())
  return { far, relay, workers, pskPath }
}

async function reaches(relay: LiveRelay): Promise<boolean> {
  return [...(await relay.samples(/^derp_sibling_up\{/)).values()][0] === 1
}

it('links of a thread that has died do not count as up', async () => {
  const { relay, workers } = await startPair(1)
  await expect.poll(async () => await reaches(relay), patiently).toBe(true)
  await kill(workers[0])
  // The replacement takes a tenth of a second and more to start and to dial.
  expect(await reaches(relay)).toBe(false)
  await expect.poll(async () => await reaches(relay), patiently).toBe(true)
})

it('a replacement thread dials the siblings and refuses a mesh key that was revoked before its start', async () => {
  const { far, relay, workers, pskPath } = await startPair(2)
  const isUp = async (): Promise<boolean> => await reaches(relay)
  await waitUntil('the sibling is reached', isUp)
  writeFileSync(pskPath, toHex(NEW_KEY))
  for (const one of [relay, far]) {
    for (let times = 0; times < 4; times++) {
      await waitUntil('the old key is refused', async () => !(await one.admitsMeshKey(MESH_KEY)), 10_000)
    }
  }
  const [alice, bob] = [await relay.client(), await far.client()]
  const packets = async (): Promise<number | undefined> =>
    [...(await relay.samples(/^derp_sibling_packets_total\{/)).values()][0]
  const before = await packets()
  for (const worker of workers.slice(0, 2)) await kill(worker)
  await waitUntil(
    'both have been replaced',
    async () => {
      const restarts = [...(await relay.samples(/^derp_thread_restarts_total\{/)).values()]
      return (
        restarts.every((count) => count === 1) &&
        (await relay.samples(/^derp_ready$/)).get('derp_ready') === 1
      )
    },
    20_000,
  )
  await waitUntil('the sibling is reached again', isUp, 20_000)
  expect(await packets()).toBeGreaterThanOrEqual(before ?? 0)
  for (let times = 0; times < 6; times++) {
    expect([await relay.admitsMeshKey(MESH_KEY), await relay.admitsMeshKey(NEW_KEY)]).toEqual([false, true])
  }
  await alice.close()
  for (let times = 0; times < 4; times++) {
    const again = await relay.client()
    const arrived = bob.next('packet', ({ source }) => Buffer.from(source).equals(again.publicKey))
    const timer = setInterval(() => again.send(bob.publicKey, Buffer.from('hello')), 20)
    await arrived.finally(() => clearInterval(timer))
  }
}, 60_000)

it('the death of a thread cancels the admission requests of its clients', async () => {
  await using verifier = await VerifyServer.start()
  verifier.delayMs = undefined
  const workers = observeWorkers()
  await using relay = await LiveRelay.start({
    admission: checkedBy(verifier.url),
  })
  const lost = Promise.all(Array.from({ length: 5 }, async () => await relay.client().catch(() => 'lost')))
  await expect.poll(() => verifier.open, patiently).toBe(5)
  await kill(workers[0])
  // Before the requests time out by themselves.
  await expect.poll(() => verifier.open, { timeout: 3_000 }).toBe(0)
  expect(await lost).toEqual(Array.from({ length: 5 }, () => 'lost'))
})
