import { createServer, type RequestListener } from 'node:http'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { AdmissionService, type AdmissionPolicy } from '#admission/admission-service.ts'
import type { AdmissionAnswer } from '#relay/ports.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { clientA, server as relayKey } from '../vectors/keys.ts'

const NO_BACKENDS: AdmissionPolicy = {
  verifyUrl: undefined,
  verifyUrlFailOpen: false,
  tailscaledSocket: undefined,
  graceMs: 0,
  recheckMs: 0,
  trustsSiblings: false,
}

/** What ends with the file: some tests run side by side, and Vitest does not know then which of them has made something. */
const ends: (() => void)[] = []
afterAll(() => ends.forEach((end) => end()))

/** An HTTP server on loopback, or on a Unix socket. */
async function serve(listener: RequestListener, path?: string): Promise<string> {
  const server = createServer(listener)
  server.listen(path === undefined ? { port: 0, host: '127.0.0.1' } : { path })
  await once(server, 'listening')
  ends.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return path ?? `http://127.0.0.1:${(server.address() as AddressInfo).port}/verify`
}

function socketPath(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tailscaled-'))
  ends.push(() => rmSync(folder, { recursive: true }))
  return join(folder, 'tailscaled.sock')
}

const tailscaled = async (status: number, body = '{}', requests: string[] = []): Promise<string> =>
  await serve((request, response) => {
    requests.push(`${request.headers.host} ${request.url}`)
    response.statusCode = status
    response.end(body)
  }, socketPath())

interface OpenedService {
  readonly ask: (key?: Uint8Array) => Promise<AdmissionAnswer>
  readonly admissionService: AdmissionService
  /** Outages and recoveries, as lines. */
  readonly events: string[]
}

function open(policy: Partial<AdmissionPolicy>): OpenedService {
  const events: string[] = []
  const admissionService = new AdmissionService({
    policy: { ...NO_BACKENDS, ...policy },
    env: {},
    ownKey: relayKey.publicKey,
    onOutage: ({ backend, cause }, admitsAll) =>
      events.push(`${backend} down, ${admitsAll ? 'all' : 'none'} admitted: ${cause}`),
    onRecovery: ({ backend }) => events.push(`${backend} up`),
    onFault: (error) => events.push(String(error)),
    random: Math.random,
    now: () => performance.now(),
  })
  admissionService.start()
  ends.push(() => admissionService.stop())
  let id = 0
  const ask = async (key: Uint8Array = clientA.publicKey): Promise<AdmissionAnswer> =>
    await new Promise((answered) => {
      admissionService.ask(
        0,
        { id: id++, key, source: '203.0.113.7', withinMs: 10_000, isHere: false },
        answered,
      )
    })
  return { ask, admissionService, events }
}

describe('a URL and tailscaled together', () => {
  it.each([
    [200, '{"Allow":true}', 'allowed', 1],
    [200, '{"Allow":false}', 'denied', 1],
    [404, '{"Allow":true}', 'denied', 0],
    [404, '{"Allow":false}', 'denied', 0],
  ])(
    'must both allow a client: tailscaled answers %i, the URL %s',
    async (status, body, result, urlRequests) => {
      let count = 0
      const verifyUrl = await serve((_request, response) => {
        count++
        response.end(body)
      })
      const { ask } = open({ verifyUrl, tailscaledSocket: await tailscaled(status) })
      expect((await ask()).result).toBe(result)
      expect(count).toBe(urlRequests)
    },
  )

  it('admit no client while tailscaled is unreachable, even if the URL would fail open', async () => {
    const verifyUrl = await serve((_request, response) => response.end('{"Allow":true}'))
    const { ask } = open({ verifyUrl, verifyUrlFailOpen: true, tailscaledSocket: socketPath() })
    expect(await ask()).toMatchObject({
      result: 'unreachable',
      reason: expect.stringMatching(/does not exist$/),
    })
  })
})

describe('the local tailscaled', () => {
  it('is asked for the owner of the key', async () => {
    const requests: string[] = []
    const { ask } = open({ tailscaledSocket: await tailscaled(200, '{}', requests) })
    expect((await ask()).result).toBe('allowed')
    const key = encodeURIComponent(publicKeyText(clientA.publicKey))
    expect(requests).toEqual([`local-tailscaled.sock /localapi/v0/whois?addr=${key}`])
  })

  it.each([
    [404, 'no match', 'denied', /unknown to tailscaled/],
    [400, "invalid 'addr' parameter", 'unreachable', /too old/],
    [400, 'something else', 'unreachable', /answered 400/],
    [500, '', 'unreachable', /answered 500/],
    [200, 'garbage', 'unreachable', /without JSON/],
    // Only status 200 means that it knows the key.
    [203, '{}', 'unreachable', /answered 203/],
  ])('that answers %i %s gives the result %s', async (status, body, result, reason) => {
    const { ask } = open({ tailscaledSocket: await tailscaled(status, body) })
    expect(await ask()).toMatchObject({ result, reason: expect.stringMatching(reason) })
  })

  it('that hangs, or sends an answer byte by byte, times out after five seconds', async () => {
    const hanging = await serve((_request, response) => {
      response.write('{')
      const drip = setInterval(() => response.write(' '), 500)
      response.on('close', () => clearInterval(drip))
    }, socketPath())
    const { ask } = open({ tailscaledSocket: hanging })
    expect(await ask()).toMatchObject({ result: 'unreachable', reason: `${hanging}: no answer within 5 s` })
  }, 15_000)
})

// Side by side: each waits for what happens every few seconds.
describe('an outage', { concurrent: true }, () => {
  it('begins when a backend has failed for a while, and ends by itself, with one event each', async ({
    expect,
  }) => {
    let isWell = true
    const bodies: string[] = []
    const verifyUrl = await serve((request, response) => {
      request.setEncoding('utf8').on('data', (text: string) => bodies.push(text))
      response.statusCode = isWell ? 200 : 502
      response.end('{"Allow":true}')
    })
    const { ask, admissionService, events } = open({ verifyUrl, verifyUrlFailOpen: true })
    expect((await ask()).result).toBe('allowed')
    isWell = false
    // Unreachable even with fail-open: the backend was reached.
    for (let count = 0; count < 3; count++) expect((await ask()).result).toBe('unreachable')
    // Three failures within a moment are no outage.
    expect([events, admissionService.check().isOk]).toEqual([[], true])
    await expect.poll(() => events.length, { timeout: 10_000 }).toBe(1)
    expect(events[0]).toMatch(/^url down, all admitted: http:.*answered 502$/)
    expect(admissionService.numbers.backends).toEqual([{ name: 'url', isUp: false }])
    expect(bodies.at(-1)).toContain(publicKeyText(relayKey.publicKey))
    isWell = true
    await expect.poll(() => events.length, { timeout: 10_000 }).toBe(2)
    expect(events[1]).toBe('url up')
    expect(admissionService.check()).toEqual({
      isOk: true,
      detail: 'questions: 0 at the backend, 0 in the queue',
    })
    const bodiesBefore = bodies.length
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    expect(bodies.length).toBe(bodiesBefore)
  }, 30_000)

  it('of tailscaled ends when it is back', async ({ expect }) => {
    const path = socketPath()
    const { ask, admissionService, events } = open({ tailscaledSocket: path })
    expect((await ask()).result).toBe('unreachable')
    await expect.poll(() => events.length, { timeout: 10_000 }).toBe(1)
    expect(events[0]).toBe(`tailscaled down, none admitted: ${path}: does not exist`)
    expect(admissionService.check().isOk).toBe(false)
    await serve((_request, response) => response.end('{}'), path)
    await expect.poll(() => events.length, { timeout: 10_000 }).toBe(2)
    expect(events[1]).toBe('tailscaled up')
    expect([admissionService.check().isOk, (await ask()).result]).toEqual([true, 'allowed'])
  }, 30_000)

  it('does not begin when many questions time out at once, but each is answered', async ({ expect }) => {
    let isWell = false
    const verifyUrl = await serve((_request, response) => void (isWell && response.end('{"Allow":true}')))
    const { ask, admissionService, events } = open({ verifyUrl })
    const keys = Array.from({ length: 20 }, (_, at) => new Uint8Array(32).fill(at + 1))
    const answers = await Promise.all(keys.map(async (key) => await ask(key)))
    expect(new Set(answers.map(({ result }) => result))).toEqual(new Set(['unreachable']))
    isWell = true
    // The relay asks again before it calls the failure an outage.
    await new Promise((resolve) => setTimeout(resolve, 4_000))
    expect([events, admissionService.check().isOk]).toEqual([[], true])
  }, 30_000)

  it.for([
    [false, false, 'unreachable', 'none'],
    [true, true, 'failed_open', 'all'],
  ] as const)(
    'of a URL with fail-open %s leaves the relay ready: %s',
    { timeout: 15_000 },
    async ([verifyUrlFailOpen, isOk, result, admitted], { expect }) => {
      const { ask, admissionService, events } = open({
        verifyUrl: 'http://127.0.0.1:1/verify',
        verifyUrlFailOpen,
      })
      expect(await ask()).toMatchObject({ result, reason: 'http://127.0.0.1:1/verify: connection refused' })
      await expect.poll(() => events.length, { timeout: 10_000 }).toBe(1)
      expect(events[0]).toBe(`url down, ${admitted} admitted: http://127.0.0.1:1/verify: connection refused`)
      expect(admissionService.check()).toEqual({
        isOk,
        detail: expect.stringMatching(/^backend url down for \d+ s: .*connection refused/),
      })
    },
  )
})

it('the questions of a thread that has died are aborted and not answered', async () => {
  let isAborted = false
  const verifyUrl = await serve((_request, response) => {
    response.on('close', () => (isAborted = true))
  })
  const { admissionService } = open({ verifyUrl })
  const answers: unknown[] = []
  admissionService.ask(
    1,
    { id: 0, key: clientA.publicKey, source: '', withinMs: 10_000, isHere: false },
    (one) => answers.push(one),
  )
  await expect.poll(() => admissionService.numbers.asking).toBe(1)
  admissionService.forget(1)
  await expect.poll(() => isAborted, { timeout: 4_000 }).toBe(true)
  expect(admissionService.numbers).toMatchObject({ waiting: 0, asking: 0 })
  expect(answers).toEqual([])
})

it('a stopped admission service aborts its questions and answers none', async () => {
  let [requests, aborted] = [0, 0]
  const verifyUrl = await serve((_request, response) => {
    requests++
    response.on('close', () => aborted++)
  })
  const { admissionService } = open({ verifyUrl })
  const answers: unknown[] = []
  // One more than are asked at once: it waits.
  for (let id = 0; id < 65; id++) {
    const question = { id, key: clientA.publicKey, source: `192.0.2.${id}`, withinMs: 10_000, isHere: false }
    admissionService.ask(0, question, (one) => answers.push(one))
  }
  await expect.poll(() => requests, { timeout: 4_000 }).toBe(64)
  admissionService.stop()
  await expect.poll(() => aborted, { timeout: 4_000 }).toBe(64)
  expect([requests, answers, admissionService.numbers.waiting]).toEqual([64, [], 0])
})
