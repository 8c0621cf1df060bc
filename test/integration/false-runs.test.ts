// Processes that pretend to be a run of the relay, over the sockets in its state folder. A bad one loses its connection, and
// nothing else happens: packets pass, and a real run can be started afterwards.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { FalseRun } from '../support/false-run.ts'
import { RunHost } from '../support/run-host.ts'
import { waitUntil, type RunningProcess } from '../support/process.ts'

const TEST_TIMEOUT_MS = 120_000
/** Far more than a line may have. */
const ENDLESS = Buffer.alloc(400_000, 'x')

/** What a run of one thread says that serves. */
const JOINED = {
  kind: 'joined',
  format: 1,
  version: '9.9',
  run: 7,
  pid: 1,
  threads: 1,
  instance: 'ab',
  activity: 5,
  ports: {},
  socket: 'run-bridge-0.sock',
  token: 'ab'.repeat(32),
}

const IN_TURN = { concurrent: false }

// Beside those below, which mostly wait.
describe('a false later run', { timeout: TEST_TIMEOUT_MS, concurrent: true }, () => {
  let host: RunHost
  let older: RunningProcess
  let clients: readonly DerpClient[] = []
  let key = ''

  const client = async (): Promise<DerpClient> =>
    await DerpClient.connect({
      host: 'localhost',
      dialAddress: host.address,
      port: host.ports.derp,
      tls: { isInsecure: true },
      key: newKeyPair(),
    })

  beforeAll(async () => {
    host = await RunHost.make()
    older = await host.start()
    clients = [await client(), await client()]
    using one = FalseRun.connect(host.folder)
    one.say({ ...joinMessage(), key: 'another' })
    key = /has another key, (\S+)$/.exec(String((await one.hears('refused'))['reason']))?.[1] ?? ''
  }, TEST_TIMEOUT_MS)

  afterAll(async () => {
    for (const one of clients) await one.close()
    await host[Symbol.asyncDispose]()
  })

  const joinMessage = (): Record<string, unknown> => ({
    kind: 'join',
    formats: [1],
    version: '9.9',
    key,
    pid: 1,
    threads: 1,
  })

  async function exchange(): Promise<void> {
    const [a, b] = clients
    if (a === undefined || b === undefined) throw new Error('no clients')
    const bytes = randomBytes(100)
    const [packet] = [b.next('packet'), a.send(b.publicKey, bytes)]
    expect((await packet).packet.equals(bytes)).toBe(true)
  }

  /** A later run that has joined, and what it was told. */
  async function joined(): Promise<{ one: FalseRun; socket: string; token: string }> {
    for (;;) {
      const one = FalseRun.connect(host.folder)
      one.say(joinMessage())
      await waitUntil(
        'an answer',
        () => one.heard('joined') !== undefined || one.heard('refused') !== undefined,
      )
      const answer = one.heard('joined')
      if (answer !== undefined)
        return { one, socket: String(answer['socket']), token: String(answer['token']) }
      // The one before is being forgotten.
      expect(one.heard('refused')?.['mayRetry']).toBe(true)
      one[Symbol.dispose]()
      await sleep(50)
    }
  }

  const lost = (): string[] => older.output.match(/"event":"run_lost".*/g) ?? []

  it.each([
    ['that is too long', Buffer.concat([ENDLESS, Buffer.from('\n')])],
    ['without an end', ENDLESS],
    ['that is not JSON', '{"kind":"join"\n'],
    ['that is no object', '["join"]\n'],
    ['that nests a hundred thousand deep', `${'['.repeat(100_000)}\n`],
    ['of wrong types', '{"kind":"join","formats":"1","version":1,"key":[],"pid":-1,"threads":1e9}\n'],
    ['that takes over before it has joined', '{"kind":"handOver"}\n'],
    ['of a later version, again and again', '{"kind":"dance"}\n'.repeat(5_000)],
  ])('sends a line %s', IN_TURN, async (_name, bytes) => {
    using one = FalseRun.connect(host.folder)
    one.socket.write(bytes)
    await one.closed()
    await exchange()
  })

  it('has another key, or a format that nobody knows', IN_TURN, async () => {
    using one = FalseRun.connect(host.folder)
    one.say({ ...joinMessage(), formats: [2, 77] })
    expect(await one.hears('refused')).toMatchObject({ mayRetry: false })
    await exchange()
  })

  it(
    'connects a thousand times and says nothing: those that do say something are heard',
    IN_TURN,
    async () => {
      const silent = Array.from({ length: 1_000 }, () => FalseRun.connect(host.folder))
      using one = FalseRun.connect(host.folder)
      one.say({ ...joinMessage(), key: 'another' })
      await one.hears('refused')
      await waitUntil('most are closed', () => silent.filter(({ isClosed }) => isClosed).length > 900)
      await exchange()
      // The others are closed because of their silence.
      await waitUntil('all are closed', () => silent.every(({ isClosed }) => isClosed), 30_000)
    },
  )

  it('joins twice', IN_TURN, async () => {
    const before = lost().length
    const { one } = await joined()
    one.say(joinMessage())
    await one.closed()
    await waitUntil('the relay says so', () => lost().length > before)
    expect(lost().at(-1)).toContain('asks to join again')
    await exchange()
  })

  it('asks to take over before its threads are linked', IN_TURN, async () => {
    const { one } = await joined()
    one.say({ kind: 'handOver' })
    await one.closed()
    await waitUntil(
      'the relay says so',
      () => lost().at(-1)?.includes('before its threads are linked') === true,
    )
    await exchange()
    expect(older.exit).toBeUndefined()
  })

  it(
    'connects to the bridge without its token, in pieces, or silently: the one with the token is served',
    IN_TURN,
    async () => {
      const { one, socket, token } = await joined()
      const strangers = Array.from({ length: 50 }, () => FalseRun.connect(host.folder, socket))
      for (const stranger of strangers.slice(0, 20)) stranger.hello(randomBytes(32).toString('hex'))
      strangers[21]?.hello(token.slice(0, 20))
      await waitUntil('most are closed', () => strangers.filter(({ isClosed }) => isClosed).length > 30)
      using bridge = FalseRun.connect(host.folder, socket)
      bridge.hello(token)
      // It is told who is there.
      await waitUntil('the bridge is served', () => bridge.socket.bytesRead > 0)
      await waitUntil('all others are closed', () => strangers.every(({ isClosed }) => isClosed))
      using late = FalseRun.connect(host.folder, socket)
      await late.closed()
      await exchange()
      one[Symbol.dispose]()
      await bridge.closed()
    },
  )

  it.each([
    [
      'ends in the middle of a record',
      Buffer.from([0, 0, 0x82, 0, 0, 1, 0, 7, 7]),
      true,
      'has closed the connection',
    ],
    [
      'sends a record that is too long',
      Buffer.from([0, 0, 0x82, 0xff, 0xff, 0xff, 0xff]),
      false,
      'sends a frame of 4294967295 bytes',
    ],
    [
      'sends a record that is too short',
      Buffer.from([0, 0, 0x82, 0, 0, 0, 3, 1, 2, 3]),
      false,
      'sends a frame of type 130 with 3 bytes',
    ],
    [
      'names a thread that is not there',
      Buffer.from([200, 200, 0x81, 0, 0, 0, 32]),
      false,
      'names a thread that does not exist',
    ],
    ['sends noise', Buffer.alloc(300_000, 0xa5), false, 'names a thread that does not exist'],
  ])('%s', IN_TURN, async (_name, bytes, isEnd, why) => {
    const { one, socket, token } = await joined()
    using bridge = FalseRun.connect(host.folder, socket)
    bridge.hello(token)
    await waitUntil('the bridge is served', () => bridge.socket.bytesRead > 0)
    if (isEnd) bridge.socket.end(bytes)
    else bridge.socket.write(bytes)
    await one.closed()
    await waitUntil('the relay says why', () => lost().at(-1)?.includes(why) === true)
    await exchange()
  })

  it('says hello and reads nothing more', IN_TURN, async () => {
    const { one, socket, token } = await joined()
    using bridge = FalseRun.connect(host.folder, socket)
    bridge.hello(token)
    await waitUntil('the bridge is served', () => bridge.socket.bytesRead > 0)
    bridge.socket.pause()
    one.socket.pause()
    for (let n = 0; n < 50; n++) await exchange()
    one[Symbol.dispose]()
  })

  it('and after all this a real one takes over', IN_TURN, async () => {
    for (const one of clients) await one.close()
    clients = []
    await host.start()
    expect(await older.exited).toEqual({ code: 0, signal: null })
    expect(await host.metric('derp_run')).toBe(2)
  })
})

test.concurrent(
  'a real run gives up on a false earlier one, in time, and says why',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    const cases: readonly (readonly [does: (run: FalseRun) => void, why: string])[] = [
      [(run) => run.socket.write('no JSON\n'), 'sends a line that is no message'],
      [(run) => run.socket.write(ENDLESS), 'sends a line that is too long'],
      [(run) => run.say({ ...JOINED, token: 'short' }), 'sends what this one does not understand'],
      [() => undefined, 'does not answer within 10 s'],
      [(run) => run.say(JOINED), 'run-bridge-0.sock'],
    ]
    await Promise.all(
      cases.map(async ([does, why]) => {
        await using host = await RunHost.make()
        const server = FalseRun.listen(host.folder, 'run.sock', does)
        const run = host.launch()
        expect(await run.exited).toEqual({ code: 1, signal: null })
        expect(run.output).toContain(why)
        server.close()
      }),
    )
  },
)

test.concurrent(
  'a real run gives up on a bridge that says nothing',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    await using host = await RunHost.make()
    const bridges = FalseRun.listen(host.folder, 'run-bridge-0.sock', () => undefined)
    const server = FalseRun.listen(host.folder, 'run.sock', (run) => run.say(JOINED))
    const run = host.launch()
    expect(await run.exited).toEqual({ code: 1, signal: null })
    expect(run.output).toContain('did not listen within 30 s')
    server.close()
    bridges.close()
  },
)

/** A false run that serves, and links its one thread with both of the next run's. */
function falseServer(folder: string, onHandOver: (run: FalseRun) => void): Disposable {
  const bridges = FalseRun.listen(folder, 'run-bridge-0.sock', (run) => {
    run.socket.once('data', () => {
      for (let to = 0; to < 2; to++) for (const type of SYNC) run.socket.write(emptyFrame(0, to, type))
    })
  })
  const server = FalseRun.listen(folder, 'run.sock', (run) => {
    run.say(JOINED)
    void waitUntil('it asks to take over', () => run.heard('handOver') !== undefined).then(
      () => onHandOver(run),
      () => undefined,
    )
  })
  return {
    [Symbol.dispose]: () => {
      server.close()
      bridges.close()
    },
  }
}

test.concurrent(
  'a real run does not take over from one that drops it then: it gives run.sock back, and ends',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    await using host = await RunHost.make()
    using _server = falseServer(host.folder, (run) => run[Symbol.dispose]())
    const run = host.launch('-threads', '2')
    expect(await run.exited).toEqual({ code: 1, signal: null })
    const why = 'the run before does not hand over, and serves on: has closed the connection'
    expect(run.output).toContain(why)
    using next = FalseRun.connect(host.folder)
    await next.hears('joined')
  },
)

test.concurrent(
  'a real run takes over from one that hangs then, and says so',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    await using host = await RunHost.make()
    using _server = falseServer(host.folder, () => undefined)
    const run = host.launch('-threads', '2')
    await host.started(run)
    expect(run.output).toContain('"event":"run_hand_over_late"')
    expect(await host.metric('derp_run')).toBe(8)
    using next = FalseRun.connect(host.folder)
    next.say({ kind: 'join', formats: [1], version: '9.9', key: 'another', pid: 1, threads: 1 })
    await next.hears('refused')
  },
)

/** A full presence sync without keys. */
const SYNC = [0x84, 0x81]

function emptyFrame(from: number, to: number, type: number): Buffer {
  const frame = Buffer.alloc(2 + 5 + 32)
  frame.set([from, to, type])
  frame.writeUInt32BE(32, 3)
  return frame
}
