// SIGTERM on the program while clients are connected: what they, probes and operators see until the process ends.

import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { DerpClient, newKeyPair, type ClientOptions } from '#client/derp-client.ts'
import { askStun } from '#client/stun-request.ts'
import { readRestarting } from '#protocol/frames.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { waitUntil, type RunningProcess } from '../support/process.ts'
import { derpfleet, FREE_PORTS, startDerpfleet } from './program.ts'

const TROUBLED_THREAD = fileURLToPath(new URL('../support/troubled-thread.ts', import.meta.url))

interface Address {
  readonly host: string
  readonly port: number
}

// Relays wait for most of a drain, so the tests run side by side, each with a relay of its own.

class Relay implements AsyncDisposable {
  readonly process: RunningProcess
  readonly #addresses: Record<string, string>

  private constructor(running: RunningProcess) {
    this.process = running
    this.#addresses = this.logged('relay_started')[0] as Record<string, string>
  }

  static async start(folder: TemporaryFolder, ...args: string[]): Promise<Relay> {
    const all = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS, ...args]
    const env = { NODE_OPTIONS: `--import ${TROUBLED_THREAD}`, TROUBLE_FOLDER: folder.path }
    return new Relay(await startDerpfleet(all, { readyWhen: /"event":"relay_started"/, env }))
  }

  address(name: 'derp' | 'stun' | 'admin'): Address {
    const [host = '', port] = (this.#addresses[name] ?? '').split(':')
    return { host, port: Number(port) }
  }

  /** The lines of an event. */
  logged(event: string): Record<string, unknown>[] {
    const lines = this.process.output.split('\n').filter((line) => line.includes(`"event":"${event}"`))
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  async client(options: Partial<ClientOptions> = {}): Promise<DerpClient> {
    return await DerpClient.connect({ ...this.address('derp'), tls: false, key: newKeyPair(), ...options })
  }

  /** Sends SIGTERM; resolves when the drain has begun. */
  async beginDrain(): Promise<void> {
    this.process.signal('SIGTERM')
    await waitUntil('the relay drains', () => this.logged('relay_draining').length > 0)
  }

  async page(path: string): Promise<{ status: number; text: string }> {
    const { host, port } = this.address('admin')
    const response = await fetch(`http://${host}:${port}${path}`)
    return { status: response.status, text: await response.text() }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.process.signal('SIGKILL')
    await this.process.exited
  }
}

const ORDERLY = { code: 0, signal: null }

test.concurrent('connections are refused, STUN is silent and the relay not ready while clients still exchange packets', async () => {
  using folder = new TemporaryFolder()
  await using relay = await Relay.start(folder, '-threads', '2', '-drain-settle', '4s', '-drain-spread', '1s')
  const [alice, bob] = [await relay.client(), await relay.client()]
  const stun = relay.address('stun')
  await askStun(stun.host, stun.port, 1_000)
  await relay.beginDrain()
  const { status, text } = await relay.page('/readyz')
  expect(status).toBe(503)
  expect(text).toContain('\nFAIL drain: draining, 2 clients left\n')
  expect((await relay.page('/livez')).status).toBe(200)
  await expect(relay.client()).rejects.toThrow(/ECONNREFUSED/)
  await expect(askStun(stun.host, stun.port, 300)).rejects.toThrow()
  const arrival = bob.next('packet')
  alice.send(bob.publicKey, Buffer.from('still here'))
  expect((await arrival).packet.toString()).toBe('still here')
  const metrics = (await relay.page('/metrics')).text
  expect(metrics).toMatch(/^derp_draining 1$/m)
  expect(metrics).toMatch(/^derp_drain_clients_remaining 2$/m)
  expect(await relay.process.exited).toEqual(ORDERLY)
  expect(relay.logged('relay_drained')).toMatchObject([
    { moved: 2, forced: 0, left: 0, lost: 0, remaining: 0 },
  ])
})

test.concurrent.each(['derp', 'websocket'] as const)(
  'a client (%s) is told to go elsewhere and gets all that waits for it before the end',
  async (way) => {
    using folder = new TemporaryFolder()
    await using relay = await Relay.start(
      folder,
      '-drain-settle',
      '0s',
      '-drain-spread',
      '0s',
      '-log-level',
      'debug',
    )
    const [alice, bob] = [
      await relay.client(),
      await relay.client(way === 'derp' ? {} : { way: 'websocket' }),
    ]
    const received: number[] = []
    bob.on('packet', ({ packet }) => received.push(packet.length))
    const told = bob.next('restarting')
    const closed = new Promise((resolve) => void bob.on('closed', resolve))
    const sizes = Array.from({ length: 50 }, (_, n) => 1_000 + n)
    for (const size of sizes) alice.send(bob.publicKey, Buffer.alloc(size))
    await alice.ping()
    await relay.beginDrain()
    expect(await told).toEqual(readRestarting(new Uint8Array(8)))
    await closed
    expect(received).toEqual(sizes)
    expect(await relay.process.exited).toEqual(ORDERLY)
    const ends = relay.logged('session_ended').map(({ reason }) => reason)
    expect(ends).toEqual(['drained', 'drained'])
  },
)

test.concurrent('the relay reloads during a drain, and the drain goes on', async () => {
  using folder = new TemporaryFolder()
  const path = folder.write('relay.yaml', 'log-level: info\n')
  await using relay = await Relay.start(folder, '-config', path, '-drain-settle', '4s', '-drain-spread', '1s')
  const clients = [await relay.client(), await relay.client()]
  await relay.beginDrain()
  folder.write('relay.yaml', 'log-level: debug\n')
  relay.process.signal('SIGHUP')
  await waitUntil('the relay has reloaded', () => relay.logged('relay_reloaded').length > 0)
  expect(relay.logged('relay_reloaded')[0]).toMatchObject({ changed: ['-log-level: "info", now "debug"'] })
  folder.write('relay.yaml', 'log-level: loud\n')
  const refused = await derpfleet(['reload', '-c', folder.at('derper.key')])
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('invalid value "loud"') })
  expect(clients.every(({ isConnected }) => isConnected)).toBe(true)
  expect(relay.logged('relay_drained')).toEqual([])
  expect(await relay.process.exited).toEqual(ORDERLY)
  expect(relay.logged('relay_drained')).toMatchObject([{ moved: 2, forced: 0, left: 0, remaining: 0 }])
  // The level that the reload has set.
  expect(relay.logged('session_ended').map(({ reason }) => reason)).toEqual(['drained', 'drained'])
})

test.concurrent('a thread that dies during a drain cuts off its clients; the others are moved, and all are counted', async () => {
  using folder = new TemporaryFolder()
  const times = ['-drain-settle', '3s', '-drain-spread', '1s', '-drain-scrape-wait', '0s']
  await using relay = await Relay.start(folder, '-threads', '2', ...times)
  const clients = await Promise.all(Array.from({ length: 16 }, async () => await relay.client()))
  await relay.beginDrain()
  folder.write('fault-relay', '')
  await waitUntil('the thread has taken the order', () => !existsSync(folder.at('fault-relay')))
  await waitUntil('the death is logged', () => relay.logged('thread_died').length > 0)
  await waitUntil('its clients notice', () => clients.some(({ isConnected }) => !isConnected))
  // None is moved before the drain has settled.
  const lost = clients.filter(({ isConnected }) => !isConnected).length
  expect(relay.logged('relay_drained')).toEqual([])
  expect(await relay.process.exited).toEqual(ORDERLY)
  expect(relay.logged('thread_died')).toMatchObject([
    { error: { cause: { message: expect.stringContaining('a fault that a test requested') } } },
  ])
  expect(relay.logged('relay_drained')).toMatchObject([
    { moved: clients.length - lost, forced: lost, left: 0, remaining: 0 },
  ])
  expect(relay.process.output).not.toMatch(/thread_restarted|relay_failed/)
  expect(relay.logged('relay_stopped')).toHaveLength(1)
})

test.concurrent('a client that does not read is cut off, and the process ends in order', async () => {
  using folder = new TemporaryFolder()
  await using relay = await Relay.start(folder, '-drain-settle', '0s', '-drain-spread', '0s')
  const [alice, bob] = [await relay.client(), await relay.client()]
  bob.connection.pause()
  // More than the sockets of both sides hold.
  for (let n = 0; n < 400; n++) {
    if (!alice.send(bob.publicKey, Buffer.alloc(60_000))) await alice.drained()
  }
  await relay.beginDrain()
  expect(await relay.process.exited).toEqual(ORDERLY)
  const [drained] = relay.logged('relay_drained')
  expect(drained).toMatchObject({ remaining: 0, left: 0 })
  // He may have been cut off by the write timeout, which is as long.
  expect([drained?.['moved'], drained?.['forced']]).toEqual([1, 1])
})

test.concurrent('without clients the process ends at once', async () => {
  using folder = new TemporaryFolder()
  await using relay = await Relay.start(
    folder,
    '-drain-settle',
    '1h',
    '-drain-spread',
    '1h',
    '-drain-scrape-wait',
    '1h',
  )
  relay.process.signal('SIGTERM')
  expect(await relay.process.exited).toEqual(ORDERLY)
})

test.concurrent.each(['SIGTERM', 'SIGINT'] as const)(
  'a second signal (%s) ends a drain at once',
  async (signal) => {
    using folder = new TemporaryFolder()
    await using relay = await Relay.start(folder, '-drain-settle', '1h')
    const client = await relay.client()
    await relay.beginDrain()
    await new Promise((resolve) => setTimeout(resolve, 400))
    expect(relay.process.exit).toBeUndefined()
    relay.process.signal(signal)
    expect(await relay.process.exited).toEqual({ code: null, signal })
    await client.close()
  },
)

test.concurrent('SIGINT ends a relay with clients at once and in order', async () => {
  using folder = new TemporaryFolder()
  await using relay = await Relay.start(folder, '-drain-settle', '1h')
  const client = await relay.client()
  relay.process.signal('SIGINT')
  expect(await relay.process.exited).toEqual(ORDERLY)
  expect(relay.logged('relay_draining')).toEqual([])
  await client.close()
})

test.concurrent('the last numbers wait for one more scrape', async () => {
  using folder = new TemporaryFolder()
  const times = ['-drain-settle', '0s', '-drain-spread', '0s', '-drain-scrape-wait', '1h']
  await using relay = await Relay.start(folder, ...times)
  await relay.client()
  relay.process.signal('SIGTERM')
  await waitUntil('the drain is over', () => relay.logged('relay_drained').length > 0)
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(relay.process.exit).toBeUndefined()
  expect((await relay.page('/metrics')).text).toMatch(/^derp_drain_clients_total\{outcome="moved"\} 1$/m)
  expect(await relay.process.exited).toEqual(ORDERLY)
})

test.concurrent.each([[], ['-wait']])(
  'derpfleet drain %s drains the relay and ends it',
  async (...options) => {
    using folder = new TemporaryFolder()
    const times = ['-drain-settle', '0s', '-drain-spread', '0s']
    await using relay = await Relay.start(folder, '-state-dir', folder.at('state'), ...times)
    const client = await relay.client()
    const closed = new Promise((resolve) => void client.on('closed', resolve))
    const { code, stdout, stderr } = await derpfleet(['drain', '-state-dir', folder.at('state'), ...options])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toBe(
      options.length === 0
        ? 'draining; clients connected: 1\n'
        : 'drained; clients: 1 moved, 0 cut off, 0 left by themselves; packets lost: 0\n',
    )
    await closed
    expect(await relay.process.exited).toEqual(ORDERLY)
    expect(relay.logged('verb_called')).toMatchObject([{ verb: 'drain' }])
  },
)

test.concurrent('a relay that stops at once during a drain says so to who waits for the drain', async () => {
  using folder = new TemporaryFolder()
  await using relay = await Relay.start(folder, '-state-dir', folder.at('state'), '-drain-settle', '1h')
  const client = await relay.client()
  const waiting = derpfleet(['drain', '-wait', '-state-dir', folder.at('state')])
  await waitUntil('the relay drains', () => relay.logged('relay_draining').length > 0)
  relay.process.signal('SIGINT')
  expect(await relay.process.exited).toEqual(ORDERLY)
  expect((await waiting).code).toBe(1)
  await client.close()
})

test.concurrent('a signal during the start ends the process, in order or by the signal itself', async () => {
  using folder = new TemporaryFolder()
  const args = ['serve', '-c', folder.at('derper.key'), ...FREE_PORTS]
  for (const delayMs of [100, 300, 500, 700]) {
    await using starting = await startDerpfleet(args, {})
    await new Promise((resolve) => setTimeout(resolve, delayMs))
    starting.signal('SIGTERM')
    const exit = await starting.exited
    expect([ORDERLY, { code: null, signal: 'SIGTERM' }]).toContainEqual(exit)
    expect(starting.output).not.toMatch(/"(?:start|stop|relay)_failed"/)
  }
})
