// Relay threads with real deaths, in relays as the program runs them. The tests reach a thread as no part of the program
// does: by observing the workers of this process, and by messages that no control thread sends.

import { createServer, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import type { Worker } from 'node:worker_threads'
import { expect, it, onTestFinished } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { ReconnectingDerpClient } from '#client/reconnecting-derp-client.ts'
import { BoxSecret, type BoxKey } from '#protocol/box.ts'
import { toHex } from '#protocol/bytes.ts'
import { GoneReason } from '#protocol/frame-type.ts'
import { clientInfoFrame } from '#protocol/handshake.ts'
import { upgradeRequest } from '#protocol/upgrade.ts'
import { InheritedDescriptors } from '#control/inherited-listeners.ts'
import { RelayThreads } from '#control/relay-threads.ts'
import { RawSocket } from '../support/raw-socket.ts'
import { checkedBy, LIMITS, LiveRelay, MESH_KEY } from '../support/live-relay.ts'
import { causeFault, observeWorkers } from '../support/observed-workers.ts'

/** A thread starts within a second on an idle machine. */
const patiently = { timeout: 20_000 }

const anyPort = { host: '127.0.0.1', port: 0 }

/** A client that reconnects by itself, with what it has received. */
class Client {
  readonly derp: ReconnectingDerpClient
  readonly key: string
  /** Numbers of the packets that arrived, by the sender's key. */
  readonly arrived = new Map<string, number[]>()
  readonly gone: string[] = []
  readonly present: string[] = []
  disconnects = 0
  #sent = 0

  constructor(relay: LiveRelay, isWatcher = false) {
    const mesh = isWatcher ? { meshKey: MESH_KEY, isWatcher } : {}
    this.derp = new ReconnectingDerpClient({ ...relay.target(), key: newKeyPair(), ...mesh })
    this.key = toHex(this.derp.publicKey)
    this.derp.on('packet', ({ source, packet }) => {
      const numbers = this.arrived.get(toHex(source)) ?? []
      numbers.push(packet.readUInt32BE())
      this.arrived.set(toHex(source), numbers)
    })
    this.derp.on('peerGone', ({ key, reason }) => {
      if (reason === GoneReason.disconnected) this.gone.push(toHex(key))
    })
    this.derp.on('peerPresent', ({ key }) => this.present.push(toHex(key)))
    this.derp.on('disconnected', () => this.disconnects++)
    this.derp.start()
  }

  /** Sends the next number to another client. */
  sendTo(other: Client): void {
    const packet = Buffer.alloc(100)
    packet.writeUInt32BE(this.#sent)
    if (this.derp.send(other.derp.publicKey, packet)) this.#sent++
  }

  get sent(): number {
    return this.#sent
  }
}

function startClients(relay: LiveRelay, count: number, isWatcher = false): Client[] {
  const clients = Array.from({ length: count }, () => new Client(relay, isWatcher))
  onTestFinished(async () => void (await Promise.all(clients.map(async ({ derp }) => await derp.close()))))
  return clients
}

async function untilConnected(clients: readonly Client[]): Promise<void> {
  await expect
    .poll(() => clients.filter(({ derp }) => derp.isConnected).length, patiently)
    .toBe(clients.length)
}

/** Series that only grow, except those of the process itself. */
const COUNTS = /^(?!nodejs_|process_).*(_total|_count|_sum|_bucket)(\{|$)/

/** Each client sends to the next one repeatedly, until the returned function is called. */
function startTraffic(clients: readonly Client[]): () => void {
  const timer = setInterval(() => {
    clients.forEach((client, n) => client.sendTo(clients[(n + 1) % clients.length] ?? client))
  }, 2)
  onTestFinished(() => clearInterval(timer))
  return () => clearInterval(timer)
}

/** Waits until the last packet of each client has arrived. */
async function untilArrived(clients: readonly Client[]): Promise<void> {
  const last = (client: Client, n: number) => client.arrived.get(clients.at(n - 1)?.key ?? '')?.at(-1)
  await expect
    .poll(() => clients.map(last), patiently)
    .toEqual(clients.map((_, n) => (clients.at(n - 1)?.sent ?? 0) - 1))
}

it('a thread that dies under traffic costs only its own clients their connections, and every loss is reported and counted', async () => {
  const workers = observeWorkers()
  await using relay = await LiveRelay.start({ threadCount: 3, admin: anyPort })
  const [clients, watchers] = [startClients(relay, 24), startClients(relay, 16, true)]
  const all = [...clients, ...watchers]
  await untilConnected(all)
  await expect.poll(() => watchers.every(({ present }) => present.length >= all.length), patiently).toBe(true)
  const stopTraffic = startTraffic(clients)
  await expect.poll(() => clients.every(({ arrived }) => arrived.size > 0), patiently).toBe(true)
  const before = await relay.samples(COUNTS)
  for (const watcher of watchers) watcher.present.length = 0

  causeFault(workers[1])
  await expect
    .poll(async () => await relay.page('/readyz'), { ...patiently, interval: 5 })
    .toMatch(/died, restarting: thread 1/)
  await expect.poll(async () => await relay.page('/readyz'), patiently).toBe('ready\n')
  await untilConnected(all)
  const marks = clients.map(({ sent }) => sent)
  await expect.poll(() => clients.every(({ sent }, n) => sent > (marks[n] ?? 0) + 20), patiently).toBe(true)
  stopTraffic()
  await untilArrived(clients)

  const lostKeys = all.filter(({ disconnects }) => disconnects > 0).map(({ key }) => key)
  expect(lostKeys.length).toBeGreaterThan(0)
  for (const [n, client] of clients.entries()) {
    const sender = clients.at(n - 1)
    const numbers = client.arrived.get(sender?.key ?? '') ?? []
    const isWhole = client.disconnects === 0 && sender?.disconnects === 0
    expect(numbers).toEqual(
      isWhole ? [...Array(sender?.sent).keys()] : [...new Set(numbers)].sort((a, b) => a - b),
    )
  }
  for (const watcher of watchers.filter(({ disconnects }) => disconnects === 0)) {
    await expect.poll(() => [...watcher.present].sort(), patiently).toEqual([...lostKeys].sort())
    expect([...watcher.gone].sort()).toEqual([...lostKeys].sort())
  }
  const after = await relay.samples(COUNTS)
  for (const [key, value] of before) expect(after.get(key) ?? -1, key).toBeGreaterThanOrEqual(value)
  expect(after.get('derp_thread_restarts_total{thread="1"}')).toBe(1)
  expect(after.get('derp_sessions_ended_total{reason="thread_lost"}')).toBe(lostKeys.length)
  expect(
    Object.fromEntries(await relay.samples(/^derp_(keys|watchers|sessions|send_queue)_?(current|bytes)/)),
  ).toEqual({
    derp_sessions_current: all.length,
    // Keys of siblings are not counted.
    derp_keys_current: clients.length,
    derp_watchers_current: watchers.length,
    derp_send_queue_bytes: 0,
  })
})

it("a second thread that dies before it has sent its presence to the first one's replacement is replaced as well", async () => {
  const workers = observeWorkers()
  // When the replacement starts: this message reaches the other thread before the one about the replacement.
  process.on('worker', onReplacement)
  onTestFinished(() => void process.off('worker', onReplacement))
  function onReplacement(): void {
    if (workers.length === 4) causeFault(workers[2])
  }
  await using relay = await LiveRelay.start({ threadCount: 3, admin: anyPort })
  const clients = startClients(relay, 24)
  await untilConnected(clients)
  causeFault(workers[1])
  await expect.poll(() => workers.length, patiently).toBe(5)
  await expect.poll(async () => await relay.page('/readyz'), patiently).toBe('ready\n')
  await untilConnected(clients)
  const marks = clients.map(({ sent }) => sent)
  const stopTraffic = startTraffic(clients)
  await expect.poll(() => clients.every(({ sent }, n) => sent > (marks[n] ?? 0) + 20), patiently).toBe(true)
  stopTraffic()
  await untilArrived(clients)
})

it('a new thread listens only after the other threads have sent it their presence', async () => {
  const workers = observeWorkers()
  await using relay = await LiveRelay.start({ threadCount: 2 })
  await relay.client()
  const order: string[] = []
  workers[0]?.on('exit', () => order.push('the busy thread has handled its messages'))
  // A sparse array keeps the thread busy for seconds.
  const remotes: unknown[] = []
  remotes.length = 2 ** 25
  workers[0]?.postMessage({ kind: 'endUnacknowledged', remotes })
  causeFault(workers[0])
  causeFault(workers[1])
  await expect.poll(() => workers.length, patiently).toBeGreaterThan(2)
  workers[2]?.on(
    'message',
    ({ kind }: { kind: string }) => kind === 'listening' && order.push('the new thread listens'),
  )
  await expect.poll(() => order.length, { timeout: 40_000 }).toBe(2)
  expect(order).toEqual(['the busy thread has handled its messages', 'the new thread listens'])
}, 60_000)

it('the replacement of the only thread listens on the same port', async () => {
  const workers = observeWorkers()
  await using relay = await LiveRelay.start()
  const clients = startClients(relay, 2)
  await untilConnected(clients)
  causeFault(workers[0])
  await expect.poll(() => clients.every(({ disconnects }) => disconnects > 0), patiently).toBe(true)
  await untilConnected(clients)
  const stopTraffic = startTraffic(clients)
  await expect.poll(() => clients.every(({ arrived }) => arrived.size > 0), patiently).toBe(true)
  stopTraffic()
  expect(workers.length).toBe(2)
})

it('a relay that is stopped before a restart is due starts no thread', async () => {
  const workers = observeWorkers()
  const relay = await LiveRelay.start()
  // The fourth restart has the longest delay: 400 ms.
  for (let deaths = 1; deaths <= 4; deaths++) {
    const dying = workers.at(-1) as Worker
    causeFault(dying)
    await once(dying, 'exit')
    if (deaths < 4) await expect.poll(() => workers.length, patiently).toBe(1 + deaths)
  }
  await relay[Symbol.asyncDispose]()
  await sleep(1_000)
  expect(workers.length).toBe(4)
})

it('a thread that is started later gets the messages that still hold, bootstrap DNS among them', async () => {
  const { settings } = await LiveRelay.start().then(async (relay) => {
    await relay[Symbol.asyncDispose]()
    return relay
  })
  const workers = observeWorkers()
  const restarted = Promise.withResolvers<number>()
  const threads = new RelayThreads({
    settings: { ...settings, certificate: undefined, isTls: false },
    siblingAuthorities: [],
    hasNative: false,
    inherited: new InheritedDescriptors([], undefined),
    instance: undefined,
    onMessage: () => undefined,
    onDeath: () => undefined,
    onRestart: restarted.resolve,
    onFault: restarted.reject,
  })
  onTestFinished(async () => await threads.stop())
  threads.start()
  const port = await threads.listen(anyPort)
  threads.broadcast({ kind: 'bootstrapDns', json: '{"login.example":["192.0.2.1"]}' })
  causeFault(workers[0])
  await restarted.promise
  const answer = await fetch(`http://127.0.0.1:${port}/bootstrap-dns`)
  expect(await answer.text()).toBe('{"login.example":["192.0.2.1"]}')
})

it('the limit of waiting bytes holds for all threads together, not for each', async () => {
  const limits = { ...LIMITS, waitingBytesMax: 8_388_608, outboxBytesMax: 16_777_216, writeTimeoutMs: 0 }
  await using relay = await LiveRelay.start({
    certificate: undefined,
    threadCount: 2,
    admin: anyPort,
    limits,
  })
  const key = newKeyPair()
  const box = new BoxSecret(key.privateKey).agree(relay.settings.nodeKey.publicKey) as BoxKey
  const raw = await RawSocket.plain(relay.port)
  onTestFinished(() => raw.destroy())
  raw.send(Buffer.from(upgradeRequest('localhost', { isFastStart: true })))
  raw.send(Buffer.from(clientInfoFrame(key.publicKey, {}, box, new Uint8Array(24).fill(5))))
  await expect.poll(() => raw.received.length, patiently).toBeGreaterThan(45)
  raw.socket.pause()
  const sender = await relay.client()
  const flood = setInterval(() => {
    for (let n = 0; n < 8; n++) sender.send(key.publicKey, new Uint8Array(60_000))
  }, 5)
  onTestFinished(() => clearInterval(flood))
  let most = 0
  for (let looks = 0; looks < 40; looks++) {
    const [waiting = 0] = (await relay.samples(/^derp_waiting_bytes/)).values()
    most = Math.max(most, waiting)
    await sleep(100)
  }
  // Of its half of 8 MiB a thread lends half without limits, and one chunk of a lane beyond the rest.
  expect(most).toBeGreaterThan(2_097_152)
  expect(most).toBeLessThan(6_291_456)
})

it('a thread whose heap is nearly full is replaced', async () => {
  // The limits of heaps created from here on, in MiB; afterwards V8's own choice again. Young space as bin/derpfleet sets it:
  // V8's choice differs between lines of Node by a hundred MiB, and counts towards the limit.
  for (const flag of ['--max-old-space-size', '--max-semi-space-size']) {
    setFlagsFromString(`${flag}=${flag.includes('old') ? 160 : 2}`)
    onTestFinished(() => setFlagsFromString(`${flag}=0`))
  }
  const workers = observeWorkers()
  await using relay = await LiveRelay.start({ threadCount: 2, admin: anyPort })
  const clients = startClients(relay, 8)
  await untilConnected(clients)
  workers[0]?.postMessage({ kind: 'bootstrapDns', json: 'x'.repeat(132 * 2 ** 20) })
  await expect
    .poll(
      async () =>
        (await relay.samples(/^derp_thread_restarts_total/)).get('derp_thread_restarts_total{thread="0"}'),
      patiently,
    )
    .toBe(1)
  await expect.poll(async () => await relay.page('/readyz'), patiently).toBe('ready\n')
  await untilConnected(clients)
})

it('a relay whose threads die repeatedly fails with the reason', async () => {
  const workers = observeWorkers()
  await using relay = await LiveRelay.start({ threadCount: 2 })
  for (let deaths = 1; deaths <= 6; deaths++) {
    causeFault(workers.at(-1))
    if (deaths < 6) await expect.poll(() => workers.length, patiently).toBe(2 + deaths)
  }
  const failure = await relay.failed
  expect(failure.message).toBe('relay threads died 6 times within a minute, so restarting them does not help')
  expect(String(failure.cause)).toMatch(/ended by itself with code 1/)
  expect(String((failure.cause as Error).cause)).toMatch(/TypeError/)
})

it('an admission answer for a thread that has died admits no client on its replacement', async () => {
  const asked: ServerResponse[] = []
  const server = createServer((_request, response) => void asked.push(response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => server.closeAllConnections())
  onTestFinished(() => void server.close())
  const verifyUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/verify`
  const workers = observeWorkers()
  await using relay = await LiveRelay.start({
    admission: checkedBy(verifyUrl),
  })
  const alice = relay.client().catch(() => 'lost')
  await expect.poll(() => asked.length, patiently).toBe(1)
  causeFault(workers[0])
  expect(await alice).toBe('lost')
  let bob: Promise<unknown> = Promise.resolve()
  await expect
    .poll(async () => {
      bob = relay.client().then(
        () => 'admitted',
        () => 'refused',
      )
      await Promise.race([bob, expect.poll(() => asked.length, patiently).toBe(2)])
      return asked.length
    }, patiently)
    .toBe(2)
  // Too late: the client is gone, and the request may have been aborted for that reason.
  asked[0]?.end('{"Allow": true}')
  await expect.poll(() => asked[0]?.writableFinished === true || asked[0]?.destroyed, patiently).toBe(true)
  asked[1]?.end('{"Allow": false}')
  expect(await bob).toBe('refused')
})
