// The way into a run for the next one: a real Unix socket and a real bridge thread, without relay threads. What false runs
// do to a whole relay is `integration/false-runs.test.ts`.

import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { RunEntrance } from '#control/run-entrance.ts'
import { RingWriter } from '#interthread/ring.ts'
import { syncStartFrame } from '#interthread/thread-frames.ts'
import { ThreadMemories } from '#interthread/thread-memory.ts'
import { Log } from '#ops/log.ts'
import { Counters } from '#relay/counters.ts'
import { FalseRun } from '../support/false-run.ts'
import { waitUntil } from '../support/process.ts'

const NEVER = { joinMsMax: 60_000, connectMsMax: 60_000, takeOverMsMax: 60_000 }
/** Threads of a run; above 256 it is no thread count at all. */
const TOO_MANY = Math.max(32, 2 * cpus().length) + 1
const JOIN = { kind: 'join', formats: [1], version: '9.9', key: 'k', pid: 1, threads: 2 }

class Entrance implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'run-entrance-'))
  readonly entrance: RunEntrance
  readonly lines: Record<string, unknown>[] = []
  readonly faults: Error[] = []
  handOvers = 0
  readonly #memories = new ThreadMemories()

  private constructor(times: typeof NEVER) {
    const parts = {
      folder: join(this.folder, 'state'),
      key: 'k',
      number: 1,
      log: new Log('info', { write: (line) => this.lines.push(JSON.parse(line)) }),
      onFault: (error: Error) => this.faults.push(error),
      bridged: new Counters(),
      snapshot: () => ({}),
      refusal: () => undefined,
      ports: () => ({}),
      handOver: async () => await Promise.resolve(),
      onHandedOver: () => this.handOvers++,
    }
    this.entrance = new RunEntrance(parts, times)
  }

  static async open(times = NEVER): Promise<Entrance> {
    const one = new Entrance(times)
    const memories = one.#memories
    mkdirSync(join(one.folder, 'state'))
    one.entrance.server.listen(join(one.folder, 'state', 'run.sock'))
    await once(one.entrance.server, 'listening')
    memories.join(0)
    one.entrance.open({
      activity: 0,
      count: 1,
      instance: 'ab',
      present: [true],
      openRun: (count) => {
        for (const { link } of memories.openRun(count)) writeFrame(link.outgoing)
      },
      closeRun: () => void memories.closeRun(),
      get bridge() {
        return memories.bridge
      },
    })
    return one
  }

  connect(): FalseRun {
    return FalseRun.connect(this.folder)
  }

  async joined(): Promise<{ run: FalseRun; bridge: () => Promise<FalseRun> }> {
    const run = this.connect()
    run.say(JOIN)
    const { socket, token } = await run.hears('joined')
    const bridge = async (): Promise<FalseRun> => {
      const one = FalseRun.connect(this.folder, String(socket))
      one.hello(String(token))
      await waitUntil('the bridge is served', () => one.socket.bytesRead > 0)
      return one
    }
    return { run, bridge }
  }

  async linked(): Promise<{ run: FalseRun; bridge: FalseRun }> {
    const { run, bridge } = await this.joined()
    return { run, bridge: await bridge() }
  }

  /** Sockets at which bridges wait. */
  get bridges(): string[] {
    return readdirSync(join(this.folder, 'state')).filter((name) => name.startsWith('run-bridge-'))
  }

  /** Why later runs were lost. */
  get lost(): unknown[] {
    return this.lines.filter(({ event }) => event === 'run_lost').map(({ reason }) => reason)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.entrance.stop()
    rmSync(this.folder, { recursive: true, force: true })
    expect(this.faults).toEqual([])
  }
}

/** What a relay thread says first. */
function writeFrame(memory: SharedArrayBuffer): void {
  const [writer, frame] = [new RingWriter(memory), syncStartFrame()]
  writer.bytes.set(frame, writer.reserve(frame.length))
  writer.publish()
}

it('a connection that asks for nothing is closed in time, and a run that has joined stays', async () => {
  await using one = await Entrance.open({ ...NEVER, joinMsMax: 1_000 })
  const { run } = await one.joined()
  using silent = one.connect()
  await silent.closed()
  expect(run.isClosed).toBe(false)
})

it('of many connections that ask for nothing the oldest make room, and a run that has joined does not', async () => {
  await using one = await Entrance.open()
  const { run } = await one.joined()
  const silent = Array.from({ length: 40 }, () => one.connect())
  await waitUntil('24 are closed', () => silent.filter(({ isClosed }) => isClosed).length >= 24)
  await sleep(200)
  expect(silent.map(({ isClosed }) => isClosed)).toEqual(silent.map((_, n) => n < 24))
  expect(run.isClosed).toBe(false)
})

it('a run that has joined and does not take over is forgotten in time, and another one may join', async () => {
  await using one = await Entrance.open({ ...NEVER, takeOverMsMax: 1_500 })
  const { run } = await one.linked()
  using second = one.connect()
  second.say(JOIN)
  expect(await second.hears('refused')).toMatchObject({ reason: 'run 2 is about to take over (process 1)' })
  await run.closed()
  await waitUntil('it is forgotten', () => one.lost.length > 0)
  expect(one.lost).toEqual(['has not taken over within 1.5 s'])
  await one.joined()
})

it('a run that has taken over stays', async () => {
  await using one = await Entrance.open({ ...NEVER, takeOverMsMax: 1_500 })
  const { run } = await one.linked()
  run.say({ kind: 'handOver' })
  await run.hears('handedOver')
  await sleep(2_500)
  expect(run.isClosed).toBe(false)
  expect(one.lost).toEqual([])
})

it('a run whose threads have never been linked does not take over', async () => {
  await using one = await Entrance.open()
  const { run } = await one.joined()
  run.say({ kind: 'handOver' })
  await run.closed()
  await waitUntil('it is forgotten', () => one.lost.length > 0)
  expect(one.lost).toEqual(['asks to take over before its threads are linked'])
  expect(one.handOvers).toBe(0)
})

it('a run that asks to take over again and again takes over once', async () => {
  await using one = await Entrance.open()
  const { run } = await one.linked()
  for (let n = 0; n < 50; n++) run.say({ kind: 'handOver' })
  await run.hears('handedOver')
  await sleep(200)
  expect(one.handOvers).toBe(1)
})

it('a run whose bridge breaks before it takes over is forgotten at once', async () => {
  await using one = await Entrance.open()
  const { run, bridge } = await one.linked()
  bridge.socket.write(Buffer.from([200, 200, 0x81, 0, 0, 0, 32]))
  await run.closed()
  await waitUntil('it is forgotten', () => one.lost.length > 0)
  expect(one.lost).toEqual(['names a thread that does not exist'])
  await one.joined()
})

it('a run that has joined says only so much, whatever its version', async () => {
  await using one = await Entrance.open()
  const { run } = await one.linked()
  for (let n = 0; n < 99; n++) run.say({ kind: 'dance', more: n })
  await sleep(200)
  expect(run.isClosed).toBe(false)
  run.say({ kind: 'dance' })
  await run.closed()
  await waitUntil('it is forgotten', () => one.lost.length > 0)
  expect(one.lost).toEqual(['sends too many messages'])
})

it('what a later version adds is passed over, and wrong fields of a known message are not', async () => {
  await using one = await Entrance.open()
  using run = one.connect()
  run.say({ kind: 'greeting', mood: 'good' })
  run.say({ ...JOIN, mood: 'good', formats: [99, 1] })
  expect(await run.hears('joined')).toMatchObject({ format: 1 })
  run.say({ kind: 'link', threads: 'four' })
  await run.closed()
  await waitUntil('it is forgotten', () => one.lost.length > 0)
  expect(one.lost).toEqual(['sends what this one does not understand'])
})

it('a run that does not connect its bridge in time is forgotten', async () => {
  await using one = await Entrance.open({ ...NEVER, connectMsMax: 1_000 })
  const { run } = await one.joined()
  await run.closed()
  await waitUntil('it is forgotten', () => one.lost.length > 0)
  expect(one.lost).toEqual(['did not connect to the bridge'])
})

it('a new link is for a run that has taken over', async () => {
  await using one = await Entrance.open()
  const { run } = await one.linked()
  run.say({ kind: 'link', threads: 2 })
  await run.closed()
  await waitUntil('it is forgotten', () => one.lost.length > 0)
  expect(one.lost).toEqual(['asks for a new link before it has taken over'])
})

it('a run that asks for new links again and again gets one at a time', async () => {
  await using one = await Entrance.open({ ...NEVER, connectMsMax: 1_500 })
  const { run } = await one.linked()
  run.say({ kind: 'handOver' })
  await run.hears('handedOver')
  for (let n = 0; n < 20; n++) run.say({ kind: 'link', threads: 2 })
  await run.hears('linked')
  await sleep(200)
  expect(one.bridges).toHaveLength(1)
  // Another one in place of the one that it did not use: no time limit of the first one is left.
  const first = run.heard('linked')?.['token']
  run.say({ kind: 'link', threads: 2 })
  await waitUntil('another link', () => run.heard('linked')?.['token'] !== first)
  const { socket, token } = await run.hears('linked')
  using bridge = FalseRun.connect(one.folder, String(socket))
  bridge.hello(String(token))
  await waitUntil('the bridge is served', () => bridge.socket.bytesRead > 0)
  await sleep(2_000)
  expect([run.isClosed, bridge.isClosed]).toEqual([false, false])
})

it.skipIf(TOO_MANY > 256)('a run with far more threads than the host has cores may not join', async () => {
  const threads = TOO_MANY
  await using one = await Entrance.open()
  using many = one.connect()
  many.say({ ...JOIN, threads })
  expect(await many.hears('refused')).toMatchObject({ mayRetry: false })
  expect(String(many.heard('refused')?.['reason'])).toContain(`it has ${threads} threads`)
  const { run } = await one.linked()
  run.say({ kind: 'handOver' })
  await run.hears('handedOver')
  run.say({ kind: 'link', threads })
  await run.closed()
  await waitUntil('it is forgotten', () => one.lost.length > 0)
  expect(one.lost).toEqual(['has too many threads'])
})
