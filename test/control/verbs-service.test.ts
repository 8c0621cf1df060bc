import { once } from 'node:events'
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { callVerb, type VerbRequest, type VerbResponse } from '#cli/verb-client.ts'
import { socketPathIn } from '#control/control-socket.ts'
import { VerbsService } from '#control/verbs-service.ts'
import { Log } from '#ops/log.ts'
import { VerbCalls } from '#ops/verb-calls.ts'
import type { VerbAnswer, VerbCall } from '#ops/verb.ts'
import { loadNative } from '#transport/native.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

let folder: TemporaryFolder
let lines: Record<string, unknown>[]
let sockets: Socket[]
let answer: (call: VerbCall) => VerbAnswer | Promise<VerbAnswer>

beforeEach(() => {
  folder = new TemporaryFolder()
  lines = []
  sockets = []
  answer = ({ parameters }) => ({ isDone: true, body: { parameters } })
})

afterEach(() => {
  for (const socket of sockets) socket.destroy()
  folder[Symbol.dispose]()
})

async function serve(path = folder.path): Promise<VerbsService & AsyncDisposable> {
  const log = new Log('debug', { write: (line) => lines.push(JSON.parse(line)) })
  const calls = new VerbCalls(log)
  const service = new VerbsService({ folder: path, log, calls, native: await loadNative() })
  calls.register({
    name: 'move',
    changes: true,
    parameters: { fast: 'boolean', steps: 'number', to: 'string' },
    answer: (call) => answer(call),
  })
  calls.register({
    name: 'look',
    changes: false,
    parameters: {},
    answer: () => ({ isDone: true, body: { sees: 'nothing' } }),
  })
  await service.start()
  return Object.assign(service, { [Symbol.asyncDispose]: async () => await service.stop() })
}

async function call(
  verb: string,
  more: Partial<VerbRequest> = {},
  path = folder.path,
): Promise<VerbResponse> {
  return await callVerb(path, { method: 'POST', verb, timeoutMs: 10_000, ...more })
}

/** A connection whose answer is collected as text. */
async function raw(text: string): Promise<{ socket: Socket; answer: () => string; closed: Promise<void> }> {
  const socket = connect(folder.at('control.sock'))
  sockets.push(socket)
  let received = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => (received += chunk))
  socket.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  await once(socket, 'connect')
  socket.write(text)
  return { socket, answer: () => received, closed }
}

test('a socket that was removed is made again, and a call under way is answered', async () => {
  await using _service = await serve()
  const released = Promise.withResolvers<void>()
  answer = async () => {
    await released.promise
    return { isDone: true, body: { was: 'late' } }
  }
  const late = call('move')
  await vi.waitFor(() => expect(existsSync(folder.at('control.sock'))).toBe(true))
  await sleep(200)
  rmSync(folder.at('control.sock'))
  await vi.waitFor(async () => expect(await call('look', { method: 'GET' })).toMatchObject({ status: 200 }), {
    timeout: 10_000,
  })
  expect(lstatSync(folder.at('control.sock')).mode & 0o777).toBe(0o600)
  expect(lines.filter(({ event }) => event === 'verbs_socket_missing')).toMatchObject([
    { level: 'warn', path: folder.at('control.sock') },
  ])
  released.resolve()
  expect(await late).toEqual({ status: 200, body: { was: 'late' } })
})

test('a verb that takes long leaves a line meanwhile, and its result at the end', async () => {
  await using _service = await serve()
  const released = Promise.withResolvers<VerbAnswer>()
  answer = async () => await released.promise
  const called = call('move', { parameters: { steps: 3 } })
  await vi.waitFor(() => expect(lines).toHaveLength(1), { timeout: 10_000 })
  released.resolve({ isDone: true, body: {} })
  await called
  const line = { level: 'info', event: 'verb_called', verb: 'move', steps: 3 }
  expect(lines).toMatchObject([
    { ...line, result: 'under_way', caller: expect.stringContaining(`pid=${process.pid}`) },
    { ...line, result: 'done' },
  ])
})

test('a verb is answered, and leaves a line that says who called it and with what result', async () => {
  await using _service = await serve()
  const parameters = { fast: true, steps: 3, to: 'x' }
  expect(await call('move', { parameters })).toEqual({ status: 200, body: { parameters } })
  expect(lines).toMatchObject([
    {
      level: 'info',
      event: 'verb_called',
      verb: 'move',
      result: 'done',
      ...parameters,
      caller: `uid=${process.getuid?.()} pid=${process.pid}`,
      claimed: expect.stringContaining(`uid=${process.getuid?.()} `),
    },
  ])
})

test('a verb that only reads is a GET, and its line is for debugging', async () => {
  await using _service = await serve()
  expect(await call('look', { method: 'GET' })).toEqual({ status: 200, body: { sees: 'nothing' } })
  expect(lines).toMatchObject([{ level: 'debug', event: 'verb_read', verb: 'look', result: 'done' }])
  expect(await call('look')).toMatchObject({ status: 405 })
  expect(await call('move', { method: 'GET' })).toMatchObject({ status: 405 })
})

test('a refusal and a fault are told, and logged', async () => {
  await using _service = await serve()
  answer = () => ({ isDone: false, body: { error: 'not now' } })
  expect(await call('move')).toEqual({ status: 409, body: { error: 'not now' } })
  answer = () => {
    throw new Error('a bug')
  }
  expect(await call('move')).toMatchObject({ status: 500 })
  expect(lines).toMatchObject([
    { level: 'info', result: 'refused', reason: 'not now' },
    { level: 'error', event: 'verb_failed', error: { message: 'a bug' } },
    { level: 'info', result: 'failed' },
  ])
})

test.each([
  ['{"fast":"yes"}', 'fast is not a boolean'],
  ['{"slow":true}', 'unknown parameter "slow"'],
  ['{"__proto__":{"a":1}}', 'unknown parameter "__proto__"'],
  ['[]', 'the body is not a JSON object'],
  ['null', 'the body is not a JSON object'],
  ['{', 'the body is not JSON'],
])('the parameters %s are refused', async (body, error) => {
  await using _service = await serve()
  const { closed, answer } = await raw(
    `POST /v1/move HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  )
  await closed
  expect(answer()).toMatch(/^HTTP\/1\.1 400 /)
  expect(answer()).toContain(JSON.stringify({ error }))
  expect(lines).toMatchObject([{ verb: 'move', result: 'invalid', reason: error }])
})

test.each(['/', '/v1/', '/v1/no', '/v1/move/', '/v2/move', '/v1/MOVE', '/v1/constructor'])(
  '%s is no verb',
  async (path) => {
    await using _service = await serve()
    const { closed, answer } = await raw(`POST ${path} HTTP/1.1\r\nHost: a\r\n\r\n`)
    await closed
    expect(answer()).toMatch(/^HTTP\/1\.1 404 /)
    expect(answer()).toContain('known are POST /v1/move, GET /v1/look')
  },
)

test('only the user of the relay may connect, and the socket goes with it', async () => {
  {
    await using _service = await serve()
    expect(lstatSync(folder.at('control.sock')).mode & 0o777).toBe(0o600)
    expect(readdirSync(folder.path)).toEqual(['control.sock'])
  }
  expect(readdirSync(folder.path)).toEqual([])
  expect(await call('look', { method: 'GET' })).toMatchObject({
    problem: expect.stringContaining('does not answer: does not exist'),
  })
})

test('a socket that a crash left behind, or another file, is replaced', async () => {
  writeFileSync(folder.at('control.sock'), '')
  await using _service = await serve()
  expect(await call('move')).toMatchObject({ status: 200 })
})

test('a later run takes the socket over, and keeps it when the earlier one ends', async () => {
  const first = await serve()
  answer = () => ({ isDone: true, body: { run: 2 } })
  await using _second = await serve()
  await first.stop()
  expect(await call('move')).toEqual({ status: 200, body: { run: 2 } })
})

test('the path of the folder may be longer than that of a socket', async () => {
  const deep = folder.at(`${'long/'.repeat(30)}state`)
  mkdirSync(deep, { recursive: true })
  await using _service = await serve(deep)
  expect(await call('move', {}, deep)).toMatchObject({ status: 200 })
  const socket = socketPathIn(deep)
  expect(socket.path).toMatch(/^\/proc\/self\/fd\/\d+\/control\.sock$/)
  socket.close()
})

test('a relay whose socket cannot be bound serves without', async () => {
  const service = await serve(folder.at('nowhere'))
  expect(lines).toMatchObject([{ level: 'warn', event: 'state_folder_unusable' }])
  await service.stop()
})

test('a caller that goes away is noticed', async () => {
  await using _service = await serve()
  const gone = Promise.withResolvers<void>()
  answer = async ({ signal }) => {
    signal.addEventListener('abort', () => gone.resolve())
    await gone.promise
    return { isDone: true, body: {} }
  }
  const { socket } = await raw('POST /v1/move HTTP/1.1\r\nHost: a\r\n\r\n')
  await sleep(100)
  socket.destroy()
  await gone.promise
})

test('a stop lets an answer under way be read, and waits for no other', async () => {
  const service = await serve()
  const started = Promise.withResolvers<void>()
  answer = async () => {
    started.resolve()
    await sleep(300)
    return { isDone: true, body: { late: true } }
  }
  const pending = call('move')
  await started.promise
  const idle = await raw('')
  await service.stop()
  expect(await pending).toEqual({ status: 200, body: { late: true } })
  await idle.closed
})

test('a body that is too long or never ends is refused', async () => {
  await using _service = await serve()
  const long = await raw(
    `POST /v1/move HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(100_000)}`,
  )
  await vi.waitFor(() => expect(long.answer()).toMatch(/^HTTP\/1\.1 413 /))
  await long.closed
  const endless = await raw('POST /v1/move HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n')
  const feeding = setInterval(() => endless.socket.write('1\r\nx\r\n'), 50)
  const slow = await raw('POST /v1/move HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx')
  const head = await raw(`GET /v1/look HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(100_000)}`)
  const silent = await raw('GET /v1/look HTT')
  await Promise.all([endless.closed, slow.closed, head.closed, silent.closed])
  clearInterval(feeding)
  expect(head.answer()).toMatch(/^HTTP\/1\.1 431 /)
  expect(await call('move')).toMatchObject({ status: 200 })
})

test('many connections do not keep a command out', async () => {
  await using _service = await serve()
  const held = await Promise.all(Array.from({ length: 200 }, async () => await raw('POST /v1/mo')))
  expect(await call('move')).toMatchObject({ status: 200 })
  const garbage = Array.from({ length: 20 }, async () => await raw('\0\r\n'.repeat(1_000)))
  for (const { closed } of await Promise.all(garbage)) await closed
  expect(await call('move')).toMatchObject({ status: 200 })
  for (const { socket } of held) socket.destroy()
})

test('a program that answers no verb is told apart from a relay', async () => {
  const other = createServer((socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'))
  other.listen(join(folder.path, 'control.sock'))
  await once(other, 'listening')
  expect(await call('look', { method: 'GET' })).toEqual({
    problem: "the relay's answer is not JSON (status 200)",
  })
  other.close()
  expect(existsSync(folder.at('control.sock'))).toBe(false)
})
