import { createServer, type RequestListener } from 'node:http'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { AdmissionService, type AdmissionPolicy } from '#admission/admission-service.ts'
import type { AdmissionAnswer } from '#relay/ports.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import { clientA, server as relayKey } from '../vectors/keys.ts'

const NOBODY: AdmissionPolicy = {
  verifyUrl: undefined,
  verifyUrlFailOpen: false,
  tailscaledSocket: undefined,
}

/** An HTTP server on loopback, or on a Unix socket. */
async function serve(listener: RequestListener, path?: string): Promise<string> {
  const server = createServer(listener)
  server.listen(path === undefined ? { port: 0, host: '127.0.0.1' } : { path })
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return path ?? `http://127.0.0.1:${(server.address() as AddressInfo).port}/verify`
}

function socketPath(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tailscaled-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return join(folder, 'tailscaled.sock')
}

const tailscaled = async (status: number, body = '{}', asked: string[] = []): Promise<string> =>
  await serve((request, response) => {
    asked.push(`${request.headers.host} ${request.url}`)
    response.statusCode = status
    response.end(body)
  }, socketPath())

/** What the admission service said of the world. */
interface Desk {
  readonly ask: (key?: Uint8Array) => Promise<AdmissionAnswer>
  readonly admissionService: AdmissionService
  readonly events: string[]
}

function open(policy: Partial<AdmissionPolicy>): Desk {
  const events: string[] = []
  const admissionService = new AdmissionService({
    policy: { ...NOBODY, ...policy },
    env: {},
    ownKey: relayKey.publicKey,
    onOutage: ({ backEnd, cause }, admitsAll) =>
      events.push(`${backEnd} lost, ${admitsAll ? 'all' : 'none'} admitted: ${cause}`),
    onReturn: ({ backEnd }) => events.push(`${backEnd} reached`),
    onFault: (error) => events.push(String(error)),
    now: () => performance.now(),
  })
  admissionService.start()
  onTestFinished(() => admissionService.stop())
  let id = 0
  const ask = async (key: Uint8Array = clientA.publicKey): Promise<AdmissionAnswer> =>
    await new Promise((answered) => {
      admissionService.ask(0, { id: id++, key, source: '203.0.113.7', withinMs: 10_000 }, answered)
    })
  return { ask, admissionService, events }
}

describe('both a URL and tailscaled', () => {
  it.each([
    [200, '{"Allow":true}', 'allowed', 1],
    [200, '{"Allow":false}', 'denied', 1],
    [404, '{"Allow":true}', 'denied', 0],
    [404, '{"Allow":false}', 'denied', 0],
  ])('must agree: tailscaled says %i, the URL %s', async (status, body, result, urlAsked) => {
    let count = 0
    const verifyUrl = await serve((_request, response) => {
      count++
      response.end(body)
    })
    const { ask } = open({ verifyUrl, tailscaledSocket: await tailscaled(status) })
    expect((await ask()).result).toBe(result)
    expect(count).toBe(urlAsked)
  })

  it('admit nobody while tailscaled is away, even if the URL would fail open', async () => {
    const verifyUrl = await serve((_request, response) => response.end('{"Allow":true}'))
    const { ask } = open({ verifyUrl, verifyUrlFailOpen: true, tailscaledSocket: socketPath() })
    expect(await ask()).toEqual({ result: 'unreachable', reason: expect.stringMatching(/does not exist$/) })
  })
})

describe('the local tailscaled', () => {
  it('is asked who the key is', async () => {
    const asked: string[] = []
    const { ask } = open({ tailscaledSocket: await tailscaled(200, '{}', asked) })
    expect((await ask()).result).toBe('allowed')
    const key = encodeURIComponent(publicKeyText(clientA.publicKey))
    expect(asked).toEqual([`local-tailscaled.sock /localapi/v0/whois?addr=${key}`])
  })

  it.each([
    [404, 'no match', 'denied', /unknown to tailscaled/],
    [400, "invalid 'addr' parameter", 'unreachable', /too old/],
    [400, 'something else', 'unreachable', /answered 400/],
    [500, '', 'unreachable', /answered 500/],
    [200, 'garbage', 'unreachable', /without JSON/],
    // Nothing but 200 says that it knows the key.
    [203, '{}', 'unreachable', /answered 203/],
  ])('that answers %i %s makes it %s', async (status, body, result, reason) => {
    const { ask } = open({ tailscaledSocket: await tailscaled(status, body) })
    expect(await ask()).toEqual({ result, reason: expect.stringMatching(reason) })
  })

  it('that hangs is given five seconds, in pieces, too', async () => {
    const hanging = await serve((_request, response) => {
      response.write('{')
      const drip = setInterval(() => response.write(' '), 500)
      response.on('close', () => clearInterval(drip))
    }, socketPath())
    const { ask } = open({ tailscaledSocket: hanging })
    expect(await ask()).toEqual({ result: 'unreachable', reason: `${hanging}: no answer within 5 s` })
  }, 15_000)
})

describe('an outage', () => {
  it('begins when a back end has failed for a while, and ends by itself, with one event each', async () => {
    let isWell = true
    const asked: string[] = []
    const verifyUrl = await serve((request, response) => {
      request.setEncoding('utf8').on('data', (text: string) => asked.push(text))
      response.statusCode = isWell ? 200 : 502
      response.end('{"Allow":true}')
    })
    const { ask, admissionService, events } = open({ verifyUrl, verifyUrlFailOpen: true })
    expect((await ask()).result).toBe('allowed')
    isWell = false
    // Not even where it fails open: it was reached.
    for (let count = 0; count < 3; count++) expect((await ask()).result).toBe('unreachable')
    // Three failures in a moment are no outage yet.
    expect([events, admissionService.check().isOk]).toEqual([[], true])
    await expect.poll(() => events.length, { timeout: 10_000 }).toBe(1)
    expect(events[0]).toMatch(/^url lost, all admitted: http:.*answered 502$/)
    expect(admissionService.numbers.backends).toEqual([{ name: 'url', isUp: false }])
    expect(asked.at(-1)).toContain(publicKeyText(relayKey.publicKey))
    isWell = true
    await expect.poll(() => events.length, { timeout: 10_000 }).toBe(2)
    expect(events[1]).toBe('url reached')
    expect(admissionService.check()).toEqual({
      isOk: true,
      detail: 'questions: 0 at the backend, 0 in the queue',
    })
    const askedBefore = asked.length
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    expect(asked.length).toBe(askedBefore)
  }, 30_000)

  it('of tailscaled ends when it is back', async () => {
    const path = socketPath()
    const { ask, admissionService, events } = open({ tailscaledSocket: path })
    expect((await ask()).result).toBe('unreachable')
    await expect.poll(() => events.length, { timeout: 10_000 }).toBe(1)
    expect(events[0]).toBe(`tailscaled lost, none admitted: ${path}: does not exist`)
    expect(admissionService.check().isOk).toBe(false)
    await serve((_request, response) => response.end('{}'), path)
    await expect.poll(() => events.length, { timeout: 10_000 }).toBe(2)
    expect(events[1]).toBe('tailscaled reached')
    expect([admissionService.check().isOk, (await ask()).result]).toEqual([true, 'allowed'])
  }, 30_000)

  it('is none where many questions time out at once, but each of them is told', async () => {
    let isWell = false
    const verifyUrl = await serve((_request, response) => void (isWell && response.end('{"Allow":true}')))
    const { ask, admissionService, events } = open({ verifyUrl })
    const keys = Array.from({ length: 20 }, (_, at) => new Uint8Array(32).fill(at + 1))
    const answers = await Promise.all(keys.map(async (key) => await ask(key)))
    expect(new Set(answers.map(({ result }) => result))).toEqual(new Set(['unreachable']))
    isWell = true
    // It is asked again before the failure is called an outage.
    await new Promise((resolve) => setTimeout(resolve, 4_000))
    expect([events, admissionService.check().isOk]).toEqual([[], true])
  }, 30_000)

  it.each([
    [false, false, 'unreachable', 'none'],
    [true, true, 'failed_open', 'all'],
  ])(
    'of a URL with fail-open %s leaves the relay ready: %s',
    async (verifyUrlFailOpen, isOk, result, who) => {
      const { ask, admissionService, events } = open({
        verifyUrl: 'http://127.0.0.1:1/verify',
        verifyUrlFailOpen,
      })
      expect(await ask()).toEqual({ result, reason: 'http://127.0.0.1:1/verify: connection refused' })
      await expect.poll(() => events.length, { timeout: 10_000 }).toBe(1)
      expect(events[0]).toBe(`url lost, ${who} admitted: http://127.0.0.1:1/verify: connection refused`)
      expect(admissionService.check()).toEqual({
        isOk,
        detail: expect.stringMatching(/^backend url down for \d+ s: .*connection refused/),
      })
    },
    15_000,
  )
})

it('a thread that has died is answered no more, and its questions are broken off', async () => {
  let isBrokenOff = false
  const verifyUrl = await serve((_request, response) => {
    response.on('close', () => (isBrokenOff = true))
  })
  const { admissionService } = open({ verifyUrl })
  const answers: unknown[] = []
  admissionService.ask(1, { id: 0, key: clientA.publicKey, source: '', withinMs: 10_000 }, (one) =>
    answers.push(one),
  )
  await expect.poll(() => admissionService.numbers.asking).toBe(1)
  admissionService.forget(1)
  await expect.poll(() => isBrokenOff, { timeout: 4_000 }).toBe(true)
  expect(admissionService.numbers).toMatchObject({ waiting: 0, asking: 0 })
  expect(answers).toEqual([])
})

it('an admission service that is closed asks nobody any more, and answers nobody', async () => {
  let [asked, brokenOff] = [0, 0]
  const verifyUrl = await serve((_request, response) => {
    asked++
    response.on('close', () => brokenOff++)
  })
  const { admissionService } = open({ verifyUrl })
  const answers: unknown[] = []
  // One more than are asked at once waits.
  for (let id = 0; id < 65; id++) {
    const question = { id, key: clientA.publicKey, source: `192.0.2.${id}`, withinMs: 10_000 }
    admissionService.ask(0, question, (one) => answers.push(one))
  }
  await expect.poll(() => asked, { timeout: 4_000 }).toBe(64)
  admissionService.stop()
  await expect.poll(() => brokenOff, { timeout: 4_000 }).toBe(64)
  expect([asked, answers, admissionService.numbers.waiting]).toEqual([64, [], 0])
})
