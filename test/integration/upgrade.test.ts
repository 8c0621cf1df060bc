// An upgrade in place: a run of a relay is started beside the one that serves, takes over, and the older one drains. Real
// processes; clients redial at once, as Tailscale's do.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { askStun } from '#client/stun-request.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { MovingClients } from '../support/moving-clients.ts'
import { Newcomers } from '../support/newcomers.ts'
import { RunHost } from '../support/run-host.ts'
import { freePort, waitUntil, type RunningProcess } from '../support/process.ts'

const TEST_TIMEOUT_MS = 150_000
const CLIENTS = 60
const RATE = 20
/** Three times the wait of a client before its last retransmission. */
const STUN_MS_MAX = 3_000
/** Packets for a client that is away are held for half a second; on a busy machine clients take longer. */
const HELD_MS = 400

function clientsOf({ address, ports }: RunHost): Promise<MovingClients> {
  return MovingClients.connect({
    count: CLIENTS,
    rate: RATE,
    packetBytes: 200,
    relays: [{ host: 'localhost', dialAddress: address, port: ports.derp, tls: { isInsecure: true } }],
    firstOf: () => 0,
  })
}

test.each([
  ['shares the ports', { isApart: true }],
  ['inherits the same sockets', { isHeld: true }],
])(
  'a run that %s takes over under load: nobody is refused, no STUN request is lost, hardly a packet, and counters go on',
  { timeout: TEST_TIMEOUT_MS },
  async (_, options) => {
    await using host = await RunHost.make(options)
    const older = await host.start()
    await using clients = await clientsOf(host)
    const newcomers = new Newcomers(host)
    clients.start()
    await sleep(1_000)
    const before = (await host.metric('derp_logins_total')) ?? 0
    const stunBefore = (await host.metric('stun_requests_total{result="success",family="ipv4"}')) ?? 0
    const newer = await host.start()
    // Pairs are split over both runs while the older one moves its clients one by one.
    expect(await older.exited).toEqual({ code: 0, signal: null })
    await sleep(500)
    await newcomers.end()
    clients.stop()
    await sleep(1_000)
    const losses = clients.losses()
    const { sent, lost, unsent, disconnects, lostAt, awayMsAt } = losses
    process.stderr.write(
      `upgrade${host.isHeld ? ' with held sockets' : ''}: ${CLIENTS} clients, ${RATE} packets/s each: ${sent} sent, ${lost} lost (p99 ${lostAt(0.99)}), ${unsent} not sent; ` +
        `${disconnects} reconnects, away ${Math.round(awayMsAt(0.5))} ms (p50), ${Math.round(awayMsAt(1))} (most); ` +
        `new: ${JSON.stringify(newcomers.counts)}; ` +
        `${(await host.drops()).join(', ')}\n${older.output
          .split('\n')
          .filter((line) => line.includes('relay_drained'))
          .join('')}\n`,
    )
    expect(newcomers.failures).toEqual([])
    const asked = Object.entries(newcomers.counts).filter(([kind]) => host.isHeld || kind !== 'adminAnswers')
    for (const [, count] of asked) expect(count).toBeGreaterThan(50)
    // Each packet that is lost is counted by a run, and a client that is back in time loses hardly any. On a machine that is
    // busy with other tests, this process itself is late with its clients.
    if (awayMsAt(1) < HELD_MS) {
      const drops = (await host.drops()).map((line) => Number(line.slice(line.lastIndexOf(' '))))
      expect(lost).toBe(drops.reduce((sum, dropped) => sum + dropped, 0))
      expect(lostAt(0.99)).toBeLessThanOrEqual(1)
    }
    expect(losses.repeated).toBe(0)
    expect(disconnects).toBe(CLIENTS)
    expect(await host.metric('derp_run')).toBe(2)
    expect(await host.metric('derp_logins_total')).toBeGreaterThanOrEqual(before + CLIENTS)
    expect(await host.metric('stun_requests_total{result="success",family="ipv4"}')).toBeGreaterThan(
      stunBefore,
    )
    expect(newer.output).toContain('"event":"run_ended"')
    expect(newer.output + older.output).not.toContain('run_lost')
  },
)

async function connectTo({ address, ports }: RunHost): Promise<DerpClient> {
  const tls = { isInsecure: true } as const
  const at = { host: 'localhost', dialAddress: address, port: ports.derp }
  return await DerpClient.connect({ ...at, tls, key: newKeyPair() })
}

async function exchange(from: DerpClient, to: DerpClient, text: string): Promise<void> {
  const packet = to.next('packet')
  from.send(to.publicKey, Buffer.from(text))
  expect((await packet).packet.toString()).toBe(text)
}

/** A client has just connected: the run that the other one is at learns of it within milliseconds. */
async function reaches(from: DerpClient, to: DerpClient): Promise<void> {
  await waitUntil('packets arrive', async () => {
    const packet = to.next('packet').catch(() => undefined)
    from.send(to.publicKey, Buffer.from('hello'))
    return (await Promise.race([packet, sleep(200)])) !== undefined
  })
}

/** Two clients of the run that serves, and whether packets pass between them. */
async function pairOf(host: RunHost): Promise<{ exchange: () => Promise<void>; close: () => Promise<void> }> {
  const [a, b] = [await connectTo(host), await connectTo(host)]
  return {
    exchange: async () => await exchange(a, b, 'hello'),
    close: async () => void (await Promise.all([a.close(), b.close()])),
  }
}

test.each([
  ['share the ports', {}],
  ['inherit the same sockets', { isHeld: true }],
])(
  'clients of two runs that %s exchange packets while the older one drains',
  { timeout: TEST_TIMEOUT_MS },
  async (_, options) => {
    await using host = await RunHost.make(options)
    const older = await host.start('-drain-settle', '4s')
    const alice = await connectTo(host)
    await host.start()
    await waitUntil('the older run drains', () => older.output.includes('"event":"relay_draining"'))
    const cathy = await connectTo(host)
    await reaches(alice, cathy)
    const logins = await host.metric('derp_logins_total')
    for (let n = 0; n < 100; n++) {
      await exchange(alice, cathy, `to the newer run ${n}`)
      await exchange(cathy, alice, `to the older run ${n}`)
      await sleep(20)
    }
    // Alice is still where she was.
    expect(alice.isConnected).toBe(true)
    expect(older.output).not.toContain('"event":"relay_drained"')
    expect(await host.metric('derp_logins_total')).toBe(logins)
    await Promise.all([alice.close(), cathy.close()])
    expect(await older.exited).toEqual({ code: 0, signal: null })
  },
)

async function isListening(host: RunHost, port: number): Promise<boolean> {
  const socket = connect(port, host.address)
  return (await new Promise((resolve) => {
    socket.once('connect', () => resolve(true))
    socket.once('error', () => resolve(false))
  }).finally(() => socket.destroy())) as boolean
}

/** Waits until a run has joined the one that serves. */
async function joins(run: RunningProcess): Promise<void> {
  await waitUntil(
    'the run has joined',
    () => run.output.includes('"event":"run_joined"') || run.exit !== undefined,
  )
}

test(
  'a run that fails to start leaves the older one serving, with its clients',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    await using host = await RunHost.make()
    const older = await host.start()
    const pair = await pairOf(host)
    await using taken = await RunHost.make()
    await taken.start('-stun=false')
    // Another relay has this port.
    const failing = host.launch('-http-port', `${taken.ports.http}`)
    expect(await failing.exited).toEqual({ code: 1, signal: null })
    expect(failing.output).toContain('is in use by another process')
    await pair.exchange()
    expect(await isListening(host, host.ports.derp)).toBe(true)
    await askStun(host.address, host.ports.stun, STUN_MS_MAX)
    expect(await host.metric('derp_run')).toBe(1)
    expect(older.exit).toBeUndefined()
    // The next attempt succeeds.
    await host.start()
    expect(await older.exited).toEqual({ code: 0, signal: null })
    expect(await host.metric('derp_run')).toBe(2)
    await pair.close()
  },
)

test('a process with another DERP port does not take over', { timeout: TEST_TIMEOUT_MS }, async () => {
  await using host = await RunHost.make()
  const older = await host.start()
  const pair = await pairOf(host)
  const other = host.launch('-a', `${host.address}:${await freePort()}`)
  expect(await other.exited).toEqual({ code: 1, signal: null })
  expect(other.output).toContain(`another process with this relay's key serves on port ${host.ports.derp}`)
  await pair.exchange()
  expect(await host.metric('derp_run')).toBe(1)
  expect(older.exit).toBeUndefined()
  await pair.close()
})

test(
  'of two runs at once one takes over, and the other says so and ends',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    await using host = await RunHost.make()
    const older = await host.start()
    const both = [host.launch(), host.launch()]
    const isOver = (run: RunningProcess): boolean => run.exit !== undefined
    await waitUntil('one of them has ended', () => both.some(isOver), TEST_TIMEOUT_MS)
    expect(await older.exited).toEqual({ code: 0, signal: null })
    const loser = both.find(isOver)
    expect(loser?.exit).toEqual({ code: 1, signal: null })
    expect(loser?.output).toMatch(/refuses: run (1 hands over|2 is about to take over|2 still starts)/)
    await waitUntil('the other serves', async () => (await host.metric('derp_run')) === 2)
  },
)

test('of two first runs at once one serves', { timeout: TEST_TIMEOUT_MS }, async () => {
  await using host = await RunHost.make()
  const both = [host.launch(), host.launch()]
  await waitUntil('a run serves', async () => ((await host.metric('derp_run')) ?? 0) > 0)
  await Promise.race(both.map(async (run) => await run.exited))
  expect(both.filter((run) => run.exit === undefined).length).toBe(1)
  await askStun(host.address, host.ports.stun, STUN_MS_MAX)
})

test('a run that is killed before it takes over changes nothing', { timeout: TEST_TIMEOUT_MS }, async () => {
  await using host = await RunHost.make()
  const older = await host.start()
  const pair = await pairOf(host)
  const newer = host.launch()
  await joins(newer)
  newer.signal('SIGKILL')
  await newer.exited
  await waitUntil('the older run knows', () => older.output.includes('"event":"run_lost"'))
  await pair.exchange()
  expect(await host.metric('derp_run')).toBe(1)
  await pair.close()
})

test(
  'a run whose predecessor is killed while it starts takes over alone',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    await using host = await RunHost.make()
    const older = await host.start()
    const newer = host.launch()
    await joins(newer)
    older.signal('SIGKILL')
    await host.started(newer)
    const pair = await pairOf(host)
    await pair.exchange()
    expect(await host.metric('derp_run')).toBe(2)
    await pair.close()
  },
)

test(
  'a run that is killed after it took over cuts off no client of the one that drains, and may be started again',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    await using host = await RunHost.make()
    const older = await host.start('-drain-settle', '30s')
    const pair = await pairOf(host)
    const newer = await host.start()
    const lost = await connectTo(host)
    newer.signal('SIGKILL')
    await newer.exited
    await waitUntil('the older run knows', () => older.output.includes('"event":"run_lost"'))
    await pair.exchange()
    await expect(lost.next('packet')).rejects.toThrow()
    // As the service manager does.
    await host.start()
    const next = await pairOf(host)
    await next.exchange()
    await askStun(host.address, host.ports.stun, STUN_MS_MAX)
    expect(await host.metric('derp_ready')).toBe(1)
    await pair.exchange()
    expect(older.exit).toBeUndefined()
    await pair.close()
    expect(await older.exited).toEqual({ code: 0, signal: null })
    await next.exchange()
    await next.close()
  },
)

test.each(['bridge', 'relay'])(
  'clients of both runs reach each other again after a %s thread of the newer one has died',
  { timeout: TEST_TIMEOUT_MS },
  async (kind) => {
    using trouble = new TemporaryFolder()
    await using host = await RunHost.make({ args: ['-threads', '2'] })
    const older = await host.start('-drain-settle', '15s')
    const alice = await connectTo(host)
    const load = `--import ${join(import.meta.dirname, '../support/troubled-thread.ts')}`
    host.env = { NODE_OPTIONS: load, TROUBLE_FOLDER: trouble.path }
    const newer = await host.start()
    const bob = await connectTo(host)
    await reaches(alice, bob)
    trouble.write(`fault-${kind}`, '')
    await waitUntil('the link is lost', () => newer.output.includes('"event":"run_lost"'))
    await waitUntil('the runs are linked again', () => newer.output.includes('"event":"run_linked"'))
    await bob.close()
    const cathy = await connectTo(host)
    await reaches(alice, cathy)
    await reaches(cathy, alice)
    expect(alice.isConnected).toBe(true)
    await Promise.all([alice.close(), cathy.close()])
    expect(await older.exited).toEqual({ code: 0, signal: null })
  },
)

test(
  'a run that is killed while it drains is missed by nobody but its clients',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    await using host = await RunHost.make()
    const older = await host.start('-drain-settle', '5s')
    const pair = await pairOf(host)
    const newer = await host.start()
    older.signal('SIGKILL')
    await waitUntil('the newer run knows', () => newer.output.includes('"event":"run_lost"'))
    await pair.close()
    const next = await pairOf(host)
    await next.exchange()
    // Its socket leads to the run that serves: another upgrade works.
    await next.close()
    await host.start()
    expect(await newer.exited).toEqual({ code: 0, signal: null })
    expect(await host.metric('derp_run')).toBe(3)
  },
)
