// The verbs on the admin port: who holds the token may call, nobody else, and attempts are bounded by address. Real sockets.

import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AdminPages } from '#ops/admin-pages.ts'
import { AdminServer } from '#ops/admin-server.ts'
import { Health } from '#ops/health.ts'
import { Log } from '#ops/log.ts'
import { Metrics } from '#ops/metrics.ts'
import { TokenVerbs } from '#ops/token-verbs.ts'
import { Varz } from '#ops/varz.ts'
import { VerbCalls } from '#ops/verb-calls.ts'
import { VerbDenials } from '#ops/verb-denials.ts'
import { QUALITY, testSources } from './sources.ts'

const TOKEN = '0123456789abcdef0123456789abcdef'

let token: string | undefined
let calls: number
let lines: Record<string, unknown>[]
let denials: VerbDenials
let server: AdminServer
let port: number

beforeEach(async () => {
  token = TOKEN
  calls = 0
  lines = []
  const log = new Log('debug', { write: (line) => lines.push(JSON.parse(line)) })
  const verbs = new VerbCalls(log)
  verbs.register({
    name: 'move',
    changes: true,
    parameters: {},
    answer: () => ({ isDone: true, body: { calls: ++calls } }),
  })
  const sources = testSources({})
  const pages = {
    metrics: new Metrics(sources),
    varz: new Varz(sources),
    health: new Health([]),
    fleet: () => '{}',
    quality: () => QUALITY,
    version: '1',
  }
  denials = new VerbDenials()
  const tokenVerbs = new TokenVerbs({ calls: verbs, token: () => token, denials, log })
  server = new AdminServer({ host: '::', port: 0 }, new AdminPages(pages), log, tokenVerbs)
  port = (await server.start()).port
})

afterEach(() => server.close())

async function call(
  authorization?: string,
  host = '127.0.0.1',
  more: { agent?: Agent; localAddress?: string } = {},
): Promise<number> {
  const headers = authorization === undefined ? {} : { authorization }
  const sent = request({ host, port, method: 'POST', path: '/v1/move', headers, agent: false, ...more })
  sent.end()
  const [response] = await once(sent, 'response')
  response.resume()
  await once(response, 'end')
  return response.statusCode
}

function counted(): Record<string, number> {
  const [{ name, samples } = { name: '', samples: [] }] = denials.families()
  expect(name).toBe('derp_verbs_denied_total')
  return Object.fromEntries(samples.map(({ labels, value }) => [labels['reason'], value]))
}

test.each([
  ['no credentials', undefined],
  ['another scheme', `Basic ${TOKEN}`],
  ['the token without a scheme', TOKEN],
  ['no token', 'Bearer '],
  ['a part of the token', `Bearer ${TOKEN.slice(1)}`],
  ['the token and more', `Bearer ${TOKEN}0`],
  ['two tokens', `Bearer x ${TOKEN}`],
  ['another case', `Bearer ${TOKEN.toUpperCase()}`],
])('%s: no verb is called, and a line says so', async (_name, authorization) => {
  expect(await call(authorization)).toBe(401)
  expect(calls).toBe(0)
  expect(lines).toMatchObject([{ level: 'warn', event: 'verb_denied', address: '127.0.0.1' }])
  expect(JSON.stringify(lines)).not.toContain(TOKEN.slice(1))
})

test('every denied call is counted by its reason, also those without a line', async () => {
  expect(counted()).toEqual({ no_token: 0, wrong_token: 0, too_many_attempts: 0, sibling: 0 })
  for (const authorization of [undefined, `Basic ${TOKEN}`]) await call(authorization)
  for (let attempt = 0; attempt < 8; attempt++) await call('Bearer wrong')
  let denied = 10
  while ((await call('Bearer wrong')) !== 429) denied++
  await call(`Bearer ${TOKEN}`, '::1')
  expect(counted()).toEqual({ no_token: 2, wrong_token: denied - 2, too_many_attempts: 1, sibling: 0 })
})

test('the token opens the verbs, and only them; another one does at once when it replaces it', async () => {
  expect(await call(`Bearer ${TOKEN}`)).toBe(200)
  expect(await call(`bearer  ${TOKEN}`)).toBe(200)
  token = 'f'.repeat(32)
  expect(await call(`Bearer ${TOKEN}`)).toBe(401)
  expect(await call(`Bearer ${token}`)).toBe(200)
  token = undefined
  expect(await call('Bearer undefined')).toBe(405)
  expect(calls).toBe(3)
})

test('attempts of an address are bounded, those of others are not, and lines are', async () => {
  const results = []
  for (let attempt = 0; attempt < 100; attempt++) results.push(await call(`Bearer ${attempt}`))
  expect(results.slice(0, 10)).toEqual(Array.from({ length: 10 }, () => 401))
  expect(results.slice(12).filter((status) => status !== 429).length).toBeLessThanOrEqual(2)
  expect(await call(`Bearer ${TOKEN}`)).toBe(429)
  expect(await call(`Bearer ${TOKEN}`, '127.0.0.1', { localAddress: '127.0.0.2' })).toBe(200)
  expect(await call(`Bearer ${TOKEN}`, '::1')).toBe(200)
  expect(calls).toBe(2)
  expect(lines.filter(({ event }) => event === 'verb_denied').length).toBeLessThan(20)
})

test('the right token ends the count', async () => {
  for (let round = 0; round < 5; round++) {
    for (let attempt = 0; attempt < 5; attempt++) expect(await call('Bearer wrong')).toBe(401)
    expect(await call(`Bearer ${TOKEN}`)).toBe(200)
  }
})

test('a denied call ends its connection, whatever it would still send', async () => {
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.setEncoding('utf8').on('data', (text: string) => (answer += text))
  socket.on('error', () => undefined)
  socket.write('POST /v1/move HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n')
  await once(socket, 'close')
  expect(answer).toMatch(/^HTTP\/1\.1 401 [^]*WWW-Authenticate: Bearer\r\n/)
})

test('a connection that has called a verb goes on with pages, within their limits', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  expect(await call(`Bearer ${TOKEN}`, '127.0.0.1', { agent })).toBe(200)
  const sent = request({ host: '127.0.0.1', port, path: '/livez', agent })
  sent.end()
  const [response] = await once(sent, 'response')
  expect([response.statusCode, sent.reusedSocket, response.socket.timeout]).toEqual([200, true, 0])
  agent.destroy()
})
