// Probes of relays behind other programs: proxies that terminate TLS, load balancers, and ports where another server
// answers. The relay itself is good, so that each fault shows alone.

import { randomBytes, X509Certificate } from 'node:crypto'
import { createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { metaCertificate } from '#protocol/meta-certificate.ts'
import { certificatePem } from '#protocol/self-signed.ts'
import { DAY_MS, goodPair, makePair, type Pair } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { alice } from '../support/actor.ts'
import { freePort, startProcess, type RunningProcess } from '../support/process.ts'
import { ALL_CHECKS, CHECKS_AFTER_LOGIN, Listener, OWN_RELAY, probed } from './probe-program.ts'

/** A relay on plain TCP, as behind a proxy. */
class PlainRelay implements AsyncDisposable {
  readonly port: number
  readonly stunPort: number
  readonly #process: RunningProcess
  readonly #folder: TemporaryFolder

  private constructor(ports: readonly [number, number], process: RunningProcess, folder: TemporaryFolder) {
    ;[this.port, this.stunPort] = ports
    this.#process = process
    this.#folder = folder
  }

  static async start(): Promise<PlainRelay> {
    const folder = new TemporaryFolder()
    const ports = [await freePort(), await freePort()] as const
    const listen = ['-a', `127.0.0.1:${ports[0]}`, '-stun-port', `${ports[1]}`, '-http-port', '-1']
    const args = [...OWN_RELAY.args, '-c', folder.at('derper.key'), ...listen]
    const child = await startProcess(OWN_RELAY.command, args, { readyWhen: /"event":"relay_started"/ })
    return new PlainRelay(ports, child, folder)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stop()
    this.#folder[Symbol.dispose]()
  }
}

let relay: PlainRelay

beforeAll(async () => {
  relay = await PlainRelay.start()
})

afterAll(async () => {
  await relay[Symbol.asyncDispose]()
})

function pinOf(pair: Pair): string {
  const { fingerprint256 } = new X509Certificate(pair.certificate)
  return `sha256-raw:${fingerprint256.replaceAll(':', '').toLowerCase()}`
}

function flags(): readonly string[] {
  return ['-stun-port', `${relay.stunPort}`]
}

test('a relay without TLS is probed with an http:// target', async () => {
  const found = await probed([`http://127.0.0.1:${relay.port}`, ...flags()])
  expect([found.code, found.named('fail')]).toEqual([0, []])
  expect(found.named('skip')).toEqual(['tls', 'certificate', 'meta-certificate', 'fast-start'])
})

test('for a relay without TLS, the hint names http://', async () => {
  const found = await probed([`127.0.0.1:${relay.port}`, ...flags()])
  expect([found.code, found.named('fail')]).toEqual([1, ['tls']])
  expect(found.textOf('tls')).toContain('http://HOST:PORT')
  expect(found.named('skip')).toEqual(['certificate', 'login', ...CHECKS_AFTER_LOGIN])
})

describe('behind a proxy that terminates TLS', () => {
  async function probeBehind(
    pair: Pair,
    ...args: readonly string[]
  ): Promise<Awaited<ReturnType<typeof probed>>> {
    await using proxy = await Listener.tls({ cert: pair.certificate, key: pair.key }, relay.port)
    return await probed([`localhost:${proxy.port}`, '-ipv4', ...flags(), ...args])
  }

  test('a relay passes without a meta certificate', async () => {
    const pair = makePair(['localhost'], Date.now() - DAY_MS, Date.now() + 30 * DAY_MS)
    const found = await probeBehind(pair, '-pin', pinOf(pair))
    expect([found.code, found.named('fail')]).toEqual([0, []])
    expect(found.named('skip')).toEqual(['meta-certificate', 'fast-start'])
  })

  test.each([
    ['has expired', makePair(['localhost'], Date.now() - 9 * DAY_MS, Date.now() - DAY_MS), 'expired on'],
    [
      'is not yet valid',
      makePair(['localhost'], Date.now() + DAY_MS, Date.now() + 9 * DAY_MS),
      'not valid before',
    ],
    ['is for another name', goodPair('relay.example'), 'valid for relay.example, not for localhost'],
  ])('a certificate that %s fails', async (_case, pair, expected) => {
    using folder = new TemporaryFolder()
    const found = await probeBehind(pair, '-ca', folder.write('ca.pem', pair.certificate))
    expect([found.code, found.named('fail')]).toEqual([1, ['certificate']])
    expect(found.textOf('certificate')).toContain(expected)
    expect(found.named('ok')).toContain('login 4')
  })

  test('a pinned certificate that has expired fails', async () => {
    const pair = makePair(['localhost'], Date.now() - 9 * DAY_MS, Date.now() - DAY_MS)
    const found = await probeBehind(pair, '-pin', pinOf(pair))
    expect([found.code, found.named('fail')]).toEqual([1, ['certificate']])
    expect(found.report.nodes[0]?.certificate).toMatchObject({ daysLeft: -2 })
  })

  test('a certificate whose renewal is overdue fails', async () => {
    const pair = makePair(['localhost'], Date.now() - 80 * DAY_MS, Date.now() + 6 * DAY_MS)
    const found = await probeBehind(pair, '-pin', pinOf(pair))
    expect([found.code, found.named('fail')]).toEqual([1, ['certificate']])
    expect(found.textOf('certificate')).toContain('its renewal is overdue')
  })

  test('for a short-lived certificate, renewal is overdue after two thirds of its life', async () => {
    const young = makePair(['localhost'], Date.now() - 3 * DAY_MS, Date.now() + 3 * DAY_MS)
    expect((await probeBehind(young, '-pin', pinOf(young))).code).toBe(0)
    const old = makePair(['localhost'], Date.now() - 5 * DAY_MS, Date.now() + DAY_MS)
    expect((await probeBehind(old, '-pin', pinOf(old))).named('fail')).toEqual(['certificate'])
  })

  test("another relay's meta certificate fails, and so does fast start", async () => {
    const pair = goodPair('localhost')
    const meta = certificatePem(metaCertificate(alice.key, randomBytes(32), Date.now()))
    const chain = { certificate: pair.certificate + meta, key: pair.key }
    const found = await probeBehind(chain, '-pin', pinOf(pair))
    expect([found.code, found.named('fail')]).toEqual([1, ['meta-certificate', 'fast-start']])
    expect(found.textOf('fast-start')).not.toContain('admits only')
    expect(found.named('ok')).toContain('full-packet')
  })
})

test('several relays behind one address fail', async () => {
  await using other = await PlainRelay.start()
  // The first connection checks TCP; the next two log in, for the upgrade and for packets.
  await using balancer = await Listener.balancing(relay.port, relay.port, other.port)
  const found = await probed([`http://127.0.0.1:${balancer.port}`, ...flags(), '-websocket=false'])
  expect(found.code).toBe(1)
  expect(found.textOf('packet')).toMatch(/another relay answers.*load balancer/)
})

describe('where another server answers', () => {
  test('a web server is not a relay', async () => {
    await using web = await Listener.http((_request, response) => {
      response.writeHead(404).end('no such page')
    })
    const found = await probed([`http://127.0.0.1:${web.port}`, ...flags()])
    expect(found.named('fail')).toEqual([
      'login 4',
      'websocket',
      'latency-check',
      'browser-probe',
      'generate-204',
    ])
    expect(found.textOf('login 4')).toMatch(/answered 404.*Is this a relay/)
  })

  test('an HTTP port that redirects everything to https looks like a captive portal', async () => {
    await using web = await Listener.http((_request, response) => {
      response.writeHead(302, { Location: 'https://elsewhere.example/' }).end()
    })
    const found = await probed([`http://127.0.0.1:${relay.port}`, ...flags(), '-http-port', `${web.port}`])
    expect([found.code, found.named('fail')]).toEqual([1, ['generate-204']])
    expect(found.textOf('generate-204')).toMatch(/302 \(to https:\/\/elsewhere.example\/\).*captive portal/)
  })

  test('a 204 without the challenge looks like a captive portal', async () => {
    await using web = await Listener.http((_request, response) => response.writeHead(204).end())
    const found = await probed([`http://127.0.0.1:${relay.port}`, ...flags(), '-http-port', `${web.port}`])
    expect(found.named('fail')).toEqual(['generate-204'])
    expect(found.textOf('generate-204')).toContain('no X-Tailscale-Response')
  })

  test('the challenge is sent with the address as host; a right response passes', async () => {
    let host: string | undefined
    await using web = await Listener.http((request, response) => {
      host = request.headers.host
      const echo = `response ${String(request.headers['x-tailscale-challenge'])}`
      response.writeHead(204, { 'X-Tailscale-Response': echo }).end()
    })
    const args = [`http://localhost:${relay.port}`, '-ipv4', ...flags(), '-http-port', `${web.port}`]
    const found = await probed(args)
    expect([found.code, host]).toEqual([0, '127.0.0.1'])
    expect(found.named('ok')).toEqual(
      ALL_CHECKS.filter((one) => !/^(tls|certificate|meta-certificate|fast-start)$/.test(one)),
    )
  })

  test('a port that sends nothing fails at the time limit', async () => {
    await using silent = await Listener.start(createServer())
    const found = await probed([`127.0.0.1:${silent.port}`, '-stun-port', '-1', '-timeout', '300ms'])
    expect([found.code, found.named('fail')]).toEqual([1, ['tls']])
    expect(found.textOf('tls')).toContain('within 300 ms')
  })
})
