import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { expect, it, onTestFinished } from 'vitest'
import { askStun } from '#client/stun-request.ts'
import type { Endpoint } from '#config/settings.ts'
import { Log } from '#ops/log.ts'
import { Counters } from '#relay/counters.ts'
import { assertTcpFree, assertUdpFree } from '#control/port-check.ts'
import { Readiness, type ReadinessParts } from '#control/readiness.ts'
import { LiveRelay, NO_MESH } from '../support/live-relay.ts'
import { causeFault } from '../support/observed-workers.ts'
import { freeTcpPort, freeUdpPort } from '../support/process.ts'

const anywhere = { host: '127.0.0.1', port: 0 }

function onWorker(observe: (worker: Worker) => void): void {
  process.on('worker', observe)
  onTestFinished(() => void process.off('worker', observe))
}

/** The threads that this process starts from here on. */
function observeWorkers(): Worker[] {
  const workers: Worker[] = []
  onWorker((worker) => workers.push(worker))
  return workers
}

/** A thread that has ended has no number. */
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

async function page(relay: LiveRelay, path: string): Promise<[number, string]> {
  const response = await fetch(`http://127.0.0.1:${relay.addresses.admin?.port}${path}`)
  return [response.status, await response.text()]
}

it('is ready when it serves, and every part says so', async () => {
  await using relay = await LiveRelay.start({ stun: anywhere, admin: anywhere, threadCount: 2 })
  await expect.poll(async () => (await page(relay, '/readyz'))[0], { timeout: 20_000 }).toBe(200)
  const [, text] = await page(relay, '/readyz?verbose')
  expect(text).toMatch(/^ready\nok {3}relay_threads: .*\n(?:ok {3}.*\n)*ok {3}stun: /)
  for (const check of ['relay_threads', 'certificate', 'mesh', 'stun'])
    expect(text).toContain(`\nok   ${check}: `)
  expect(await page(relay, '/livez')).toEqual([200, 'live\n'])
})

it('counts what clients do as one relay, whichever thread they are on', async () => {
  await using relay = await LiveRelay.start({ admin: anywhere, threadCount: 2 })
  const [alice, bob] = [await relay.client({ isPreferred: true }), await relay.client({ way: 'websocket' })]
  const arrival = bob.next('packet')
  alice.send(bob.publicKey, new Uint8Array(100))
  await arrival
  const [, metrics] = await page(relay, '/metrics')
  expect(metrics).toContain('derp_received_packets_total{kind="data"} 1\n')
  expect(metrics).toContain('derp_sent_bytes_total{kind="data"} 100\n')
  expect(metrics).toContain('derp_clients_current{kind="home"} 1\n')
  expect(metrics).toMatch(/^derp_relay_info\{hostname="localhost",region="",node="",version="[\d.]+"\} 1$/m)
  const [, varz] = await page(relay, '/debug/varz')
  expect(varz).toContain('derp_packets_sent 1\n')
  expect(varz).toContain('derp_clients_local 2\n')
})

it('falls silent in STUN when its certificate has run out, and says why it is not ready', async () => {
  await using relay = await LiveRelay.start({ stun: anywhere, admin: anywhere }, 10_000)
  const port = relay.addresses.stun?.port ?? 0
  await askStun('127.0.0.1', port, 1_000)
  await expect.poll(async () => (await page(relay, '/readyz'))[1], { timeout: 20_000 }).toMatch(/expired at/)
  await expect
    .poll(async () => await askStun('127.0.0.1', port, 300).catch(() => 'silent'), { timeout: 5_000 })
    .toBe('silent')
  expect((await page(relay, '/livez'))[0]).toBe(200)
})

it('leaves nothing running when a port is taken, names it, and serves nobody meanwhile', async () => {
  await using first = await LiveRelay.start({ admin: anywhere, stun: anywhere, threadCount: 2 })
  const workers = observeWorkers()
  for (const [what, taken] of Object.entries({
    // Threads share their port, so that the system would let others join.
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

it('when it is stopped nothing is left: no thread, no port, and nobody is asked or dialled any more', async () => {
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
    http: anywhere,
    stun: anywhere,
    admin: anywhere,
    admission: { isOpen: false, verifyUrl, verifyUrlFailOpen: false, tailscaledSocket: undefined },
  })
  await expect(relay.client()).rejects.toThrow()
  // From then on the relay asks by itself.
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
  const workers = observeWorkers()
  const [derp, stun, admin] = [await freeTcpPort(), await freeUdpPort(), await freeTcpPort()]
  const at = (port: number): { host: string; port: number } => ({ host: '127.0.0.1', port })
  // The same port twice: each is free when it is tried.
  const wanted = { derp: at(derp), stun: at(stun), http: at(admin), admin: at(admin), threadCount: 2 }
  await expect(LiveRelay.start(wanted)).rejects.toThrow(/^admin: .* is in use by another process/)
  expect(workers).toHaveLength(3)
  await untilEnded(workers)
  for (const port of [derp, admin]) await assertTcpFree(at(port))
  await assertUdpFree(at(stun))
})

it('a thread that dies before its turn to listen fails the start, which leaves nothing', async () => {
  const workers: Worker[] = []
  // The second of two; its first message is one that it does not survive.
  onWorker((worker) => {
    workers.push(worker)
    if (workers.length === 2) causeFault(worker)
  })
  const derp = { host: '127.0.0.1', port: await freeTcpPort() }
  await expect(LiveRelay.start({ derp, threadCount: 2 })).rejects.toThrow(/relay thread ended by itself/)
  await untilEnded(workers)
  expect(workers).toHaveLength(2)
  await assertTcpFree(derp)
})

it('an answer to itself that is lost silences nothing: STUN follows what makes the relay able to serve', async () => {
  // Nobody answers there; beside it all is well.
  const mute = createSocket('udp4').bind(0, '127.0.0.1')
  await once(mute, 'listening')
  onTestFinished(() => void mute.close())
  const told: boolean[] = []
  const well = { check: () => ({ isOk: true, detail: '' }) }
  let report = ''
  const readiness = new Readiness({
    log: new Log('info', { write: (line) => (report += line) }),
    threads: { counters: [new Counters()], present: [true], serving: [true] },
    links: { name: 'mesh', ...well },
    directory: { name: 'directory', ...well },
    stun: {
      endpoint: { host: '127.0.0.1', port: mute.address().port },
      answer: (isAnswering: boolean) => told.push(isAnswering),
      look: () => undefined,
    },
    admission: undefined,
    certificate: undefined,
  } as unknown as ReadinessParts)
  await readiness.start()
  // However often it is looked at, one line says so.
  for (let looks = 0; looks < 3; looks++) readiness.threadsChanged()
  readiness.stop()
  expect(report).toMatch(/relay_not_ready.*stun: no STUN answer/)
  expect(report.match(/relay_not_ready/g)).toHaveLength(1)
  expect(told).toEqual([true, true, true, true])
})
