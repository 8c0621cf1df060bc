import { once } from 'node:events'
import { Agent, request, type IncomingHttpHeaders, type RequestOptions } from 'node:http'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AdminPages } from '#ops/admin-pages.ts'
import { AdminServer } from '#ops/admin-server.ts'
import { Health } from '#ops/health.ts'
import { Log } from '#ops/log.ts'
import { Metrics } from '#ops/metrics.ts'
import { Varz } from '#ops/varz.ts'
import { QUALITY, testSources } from './sources.ts'
import { parseClassic, parseOpenMetrics } from './strict-exposition.ts'

const host = '127.0.0.1'

let isStunOk: boolean
let isBroken: boolean
let logged: string
let port: number
let server: AdminServer

beforeEach(async () => {
  isStunOk = true
  isBroken = false
  logged = ''
  server = new AdminServer({ host, port: 0 }, pages(), log())
  port = (await server.start()).port
})

afterEach(() => server.close())

function log(): Log {
  return new Log('debug', { write: (line) => (logged += line) })
}

function pages(): AdminPages {
  const sources = testSources({
    stun: () => {
      if (isBroken) throw new Error('the STUN thread has ended')
      return undefined
    },
  })
  const stun = { name: 'stun', check: () => ({ isOk: isStunOk, detail: isStunOk ? 'answers' : 'silent' }) }
  const health = new Health([{ name: 'listeners', check: () => ({ isOk: true, detail: 'bound' }) }, stun])
  const fleet = (): string => '{}'
  return new AdminPages({
    metrics: new Metrics(sources),
    varz: new Varz(sources),
    health,
    fleet,
    quality: () => QUALITY,
    version: '1.2.3',
  })
}

interface Response {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

async function ask(path: string, options: RequestOptions = {}): Promise<Response> {
  const sent = request({ host, port, path, agent: false, ...options })
  sent.end()
  const [response] = await once(sent, 'response')
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += chunk
  return { status: response.statusCode, headers: response.headers, text }
}

describe('pages', () => {
  it('/ lists every page, and every page exists', async () => {
    const { status, text } = await ask('/')
    expect(status).toBe(200)
    const paths = text.match(/^\/\S*/gm) ?? []
    expect(paths).toEqual(['/', '/metrics', '/quality', '/livez', '/readyz', '/fleet', '/debug/varz'])
    for (const path of paths) expect([path, (await ask(path)).status]).toEqual([path, 200])
    expect(text).toMatch(/^derpfleet 1\.2\.3$/m)
  })

  it('/metrics has the requested format', async () => {
    const classic = await ask('/metrics')
    expect(classic.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(parseClassic(classic.text).get('derp_ready')?.type).toBe('gauge')
    const openMetrics = await ask('/metrics', { headers: { accept: 'application/openmetrics-text' } })
    expect(openMetrics.headers['content-type']).toBe(
      'application/openmetrics-text; version=1.0.0; charset=utf-8',
    )
    expect(parseOpenMetrics(openMetrics.text).get('derp_logins')?.type).toBe('counter')
    expect(openMetrics.headers.vary).toBe('Accept')
  })

  it("/debug/varz has derper's names", async () => {
    const { headers, text } = await ask('/debug/varz')
    expect(headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(parseClassic(text).get('derp_accepts')?.type).toBe('counter')
  })

  it('/readyz reports the state and the failing checks', async () => {
    expect(await ask('/readyz')).toMatchObject({ status: 200, text: 'ready\n' })
    isStunOk = false
    expect(await ask('/readyz')).toMatchObject({ status: 503, text: 'not ready\nFAIL stun: silent\n' })
    expect((await ask('/readyz?verbose')).text).toBe('not ready\nok   listeners: bound\nFAIL stun: silent\n')
    const json = await ask('/readyz', { headers: { accept: 'application/json' } })
    expect(json).toMatchObject({ status: 503, headers: { 'content-type': 'application/json' } })
    expect(JSON.parse(json.text)).toEqual({
      isReady: false,
      checks: [
        { name: 'listeners', isOk: true, detail: 'bound' },
        { name: 'stun', isOk: false, detail: 'silent' },
      ],
    })
  })

  it('/livez answers 200 even if the relay is not ready', async () => {
    isStunOk = false
    expect(await ask('/livez')).toMatchObject({ status: 200, text: 'live\n' })
  })

  it('any other path is 404', async () => {
    for (const path of ['/metric', '/metrics/', '//', '/debug', '/%2e%2e/etc/passwd', 'http://x/metrics']) {
      expect([path, (await ask(path)).status]).toEqual([path, 404])
    }
  })

  it('a page that fails is a 500 and a log line, and the next request is answered', async () => {
    isBroken = true
    expect((await ask('/metrics')).status).toBe(500)
    expect(JSON.parse(logged)).toMatchObject({
      level: 'error',
      event: 'admin_page_failed',
      url: '/metrics',
      error: { message: 'the STUN thread has ended' },
    })
    expect((await ask('/livez')).status).toBe(200)
  })
})

/** Resolves when the socket is closed, gracefully or by a reset. */
async function closed(socket: Socket): Promise<void> {
  await new Promise((resolve) => socket.once('close', resolve))
}

describe('HTTP', () => {
  it('HEAD is GET without the body', async () => {
    const whole = await ask('/readyz')
    const head = await ask('/readyz', { method: 'HEAD' })
    expect(head).toMatchObject({ status: 200, text: '' })
    expect(head.headers['content-length']).toBe(String(whole.text.length))
  })

  it('any other method is refused', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']) {
      const { status, headers } = await ask('/metrics', { method })
      expect([method, status, headers.allow]).toEqual([method, 405, 'GET, HEAD'])
    }
  })

  it('a head over 8 KiB is refused', async () => {
    const { status } = await ask('/livez', { headers: { 'x-long': 'x'.repeat(8_192) } })
    expect(status).toBe(431)
  })

  it.each([
    ['that send nothing', ''],
    ['that send half a head', 'GET /livez HTTP/1.1\r\nHost: x\r\n'],
    ['that were answered once', 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['that read no answer', 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'],
  ])('with 64 connections %s, the oldest is closed for the newest', async (_case, text) => {
    const sockets: Socket[] = []
    for (let count = 0; count < 64; count++) {
      const socket = connect({ host, port }).on('error', () => undefined)
      await once(socket, 'connect')
      if (text !== '') socket.write(text)
      sockets.push(socket)
    }
    const ends = sockets.map(async (socket) => await closed(socket.resume()))
    let isSecondClosed = false
    void ends[1]?.then(() => (isSecondClosed = true))
    expect((await ask('/livez')).status).toBe(200)
    await ends[0]
    expect(isSecondClosed).toBe(false)
    for (const socket of sockets) socket.destroy()
  })

  it('answers eight pipelined requests in order, and closes a connection with more', async () => {
    const pipelined = async (count: number): Promise<string> => {
      const socket = connect({ host, port }).on('error', () => undefined)
      await once(socket, 'connect')
      const [first, last] = ['GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n', 'GET /livez HTTP/1.1\r\nHost: x\r\n']
      socket.write(`${first.repeat(count - 1)}${last}Connection: close\r\n\r\n`)
      let text = ''
      socket.setEncoding('utf8').on('data', (part: string) => (text += part))
      await closed(socket)
      return text
    }
    expect((await pipelined(8)).match(/(?<=\n)(?:ready|live)\n/g)?.join('')).toBe(
      'ready\n'.repeat(7) + 'live\n',
    )
    expect(await pipelined(9)).toBe('')
    expect(await pipelined(2_000)).toBe('')
    expect((await ask('/livez')).status).toBe(200)
  })

  it('a head that never ends is answered with 408', async () => {
    const socket = connect({ host, port })
    socket.write('GET /livez HTTP/1.1\r\nHost: x\r\n')
    const [answer] = await once(socket, 'data')
    expect(String(answer)).toMatch(/^HTTP\/1\.1 408 /)
    socket.destroy()
  })
})

describe('start and close', () => {
  it('the port of another program is one clear error', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => void other.listen({ host, port: 0 }, resolve))
    const { port: taken } = other.address() as AddressInfo
    const second = new AdminServer({ host, port: taken }, pages(), log())
    await expect(second.start()).rejects.toThrow(
      `admin: ${host}:${taken} is in use by another process; choose another address with -admin HOST:PORT`,
    )
    await second.close()
    await new Promise((resolve) => void other.close(resolve))
  })

  it('so is an address of another machine', async () => {
    const foreign = new AdminServer({ host: '2001:db8::1', port: 9_090 }, pages(), log())
    await expect(foreign.start()).rejects.toThrow(
      'admin: [2001:db8::1]:9090 is not an address of this machine; choose another address with -admin HOST:PORT',
    )
  })

  it('start resolves to the real address, for IPv6 too', async () => {
    const other = new AdminServer({ host: '::1', port: 0 }, pages(), log())
    const address = await other.start()
    expect(address.host).toBe('::1')
    expect(address.port).toBeGreaterThan(0)
    await other.close()
  })

  it('close ends idle and silent connections, and can be called again', async () => {
    const agent = new Agent({ keepAlive: true })
    await ask('/livez', { agent })
    const [kept] = Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? [])
    const silent = connect({ host, port })
    await once(silent, 'connect')
    const ended = Promise.all([once(kept ?? silent, 'close'), once(silent.resume(), 'close')])
    await server.close()
    await ended
    await expect(ask('/livez')).rejects.toThrow('ECONNREFUSED')
    await server.close()
    agent.destroy()
  })
})
