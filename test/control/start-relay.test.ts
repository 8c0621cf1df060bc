// The start and the stop of a relay as a whole: what a failing start and a stop leave behind, which is nothing.

import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { expect, it, onTestFinished } from 'vitest'
import type { Endpoint } from '#config/endpoint.ts'
import { assertTcpFree, assertUdpFree } from '#control/port-check.ts'
import { checkedBy, LiveRelay, NO_MESH } from '../support/live-relay.ts'
import { causeFault, observeWorkers, onWorker } from '../support/observed-workers.ts'
import { freePort } from '../support/process.ts'

const anyPort = { host: '127.0.0.1', port: 0 }

/** The number of an ended thread is -1. */
async function untilEnded(workers: readonly Worker[]): Promise<void> {
  await expect
    .poll(() => workers.map(({ threadId }) => threadId), { timeout: 5_000 })
    .toEqual(workers.map(() => -1))
}

async function listeningPort(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}

it('a port in use fails the start with its name before any thread is started', async () => {
  await using first = await LiveRelay.start({ admin: anyPort, stun: anyPort, threadCount: 2 })
  const workers = observeWorkers()
  for (const [what, taken] of Object.entries({
    // Threads share their port, so the system would let other processes join.
    DERP: { derp: first.addresses.derp, threadCount: 2 },
    STUN: { stun: first.addresses.stun },
    admin: { admin: first.addresses.admin },
  })) {
    const second = LiveRelay.start(taken)
    await expect(second, what).rejects.toThrow(
      new RegExp(`^${what}: 127\\.0\\.0\\.1:\\d+ is in use by another process`),
    )
  }
  expect(workers).toEqual([])
  await first.client()
})

it('a stop leaves no thread and no port, and ends requests to back ends and servers', async () => {
  let [asked, dialled] = [0, 0]
  const backEnd = createHttpServer((_request, response) => {
    asked++
    response.writeHead(500).end()
  })
  const directory = createServer((socket) => {
    dialled++
    socket.destroy()
  })
  const verifyUrl = `http://127.0.0.1:${await listeningPort(backEnd)}/verify`
  const nats = { servers: [`nats://127.0.0.1:${await listeningPort(directory)}`], ca: undefined }
  const node = { name: '900a', hostname: 'localhost', port: 443, meshHost: undefined, certName: undefined }
  const regions = [{ id: 900, code: 'r', name: 'Region', nodes: [node] }]
  const workers = observeWorkers()
  const relay = await LiveRelay.start({
    threadCount: 2,
    mesh: { ...NO_MESH, regions, nats: { ...nats, credentials: undefined, secret: new Uint8Array(32) } },
    http: anyPort,
    stun: anyPort,
    admin: anyPort,
    admission: checkedBy(verifyUrl),
  })
  await expect(relay.client()).rejects.toThrow()
  // After the outage is noticed, the relay asks the back end repeatedly by itself.
  await expect.poll(() => asked, { timeout: 8_000 }).toBeGreaterThanOrEqual(2)
  const { derp, http, stun, admin } = relay.addresses
  await relay[Symbol.asyncDispose]()
  const before = [asked, dialled]
  expect(dialled).toBeGreaterThanOrEqual(2)
  await untilEnded(workers)
  for (const at of [derp, http, admin]) await assertTcpFree(at as Endpoint)
  await assertUdpFree(stun as Endpoint)
  await sleep(2_500)
  expect([asked, dialled]).toEqual(before)
})

it('a start that fails late leaves no thread and no port', async () => {
  const workers: Worker[] = []
  const [derp, stun, admin] = [await freePort(), await freePort(), await freePort()]
  const at = (port: number): { host: string; port: number } => ({ host: '127.0.0.1', port })
  // Another program takes the port when ports have been checked: threads are started afterwards.
  const other = createServer()
  onWorker((worker) => {
    if (workers.push(worker) === 1) other.listen(at(admin))
  })
  const wanted = { derp: at(derp), stun: at(stun), admin: at(admin), threadCount: 2 }
  await expect(LiveRelay.start(wanted)).rejects.toThrow(/^admin: .* is in use by another process/)
  expect(workers).toHaveLength(3)
  await untilEnded(workers)
  await new Promise((resolve) => void other.close(resolve))
  for (const port of [derp, admin]) await assertTcpFree(at(port))
  await assertUdpFree(at(stun))
})

it('a thread that dies before it listens fails the start, which leaves nothing', async () => {
  const workers: Worker[] = []
  // The second of two threads; its first message is one that it does not survive.
  onWorker((worker) => {
    workers.push(worker)
    if (workers.length === 2) causeFault(worker)
  })
  const derp = { host: '127.0.0.1', port: await freePort() }
  await expect(LiveRelay.start({ derp, threadCount: 2 })).rejects.toThrow(/relay thread ended by itself/)
  await untilEnded(workers)
  expect(workers).toHaveLength(2)
  await assertTcpFree(derp)
})
