import { createServer, type RequestListener } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { createServer as createTlsServer } from 'node:https'
import { UrlVerifier } from '#admission/url-verifier.ts'
import type { VerifierResult } from '#admission/verifier.ts'
import { goodPair } from '../config/certificates.ts'
import { runOk } from '../support/process.ts'
import { admissionAnswers, admissionRequest, admissionSource } from '../vectors/admission.ts'
import { clientA } from '../vectors/keys.ts'

const request = { key: clientA.publicKey, source: admissionSource }

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/verify`
}

async function ask(url: string, of = request): Promise<VerifierResult> {
  const verifier = new UrlVerifier(url, {})
  onTestFinished(() => verifier.close())
  return await verifier.verify(of, new AbortController().signal)
}

it('sends the key and the source, which may be unknown', async () => {
  const bodies: string[] = []
  const url = await serve((incoming, response) => {
    incoming.setEncoding('utf8').on('data', (text: string) => bodies.push(text))
    incoming.on('end', () => response.end('{"Allow":true}'))
  })
  expect(await ask(url)).toEqual({ kind: 'allowed', reason: '' })
  expect(await ask(url, { ...request, source: '' })).toEqual({ kind: 'allowed', reason: '' })
  expect(bodies).toEqual([admissionRequest, admissionRequest.replace(admissionSource, '')])
})

it.each(admissionAnswers)(
  'reads $status $body as admitted: $isAdmitted',
  async ({ status, body, isAdmitted }) => {
    const url = await serve((_request, response) => {
      response.statusCode = status
      response.end(body)
    })
    const { kind } = await ask(url)
    expect(kind === 'allowed').toBe(isAdmitted)
    // A backend that was reached never fails open.
    expect(kind).not.toBe('unreachable')
  },
)

it.each([
  [200, '{"Allow":false}', 'denied', /does not allow this key/],
  [403, '', 'denied', /answered 403/],
  [502, '', 'unusable', /answered 502/],
  [429, '', 'unusable', /answered 429/],
  [200, '<html>', 'unusable', /answered 200 without/],
])(
  'tells a denied client from a backend that does not work: %i %s is %s',
  async (status, body, kind, reason) => {
    const url = await serve((_request, response) => {
      response.statusCode = status
      response.end(body)
    })
    expect(await ask(url)).toEqual({ kind, reason: expect.stringMatching(reason) })
  },
)

it('reports the reason, without password or query', async () => {
  const url = await serve((incoming) => incoming.socket.destroy())
  const secret = url.replace('//', '//alice:hunter2@') + '?token=hunter3'
  expect(await ask(secret)).toEqual({ kind: 'unreachable', reason: `${url}: the connection was closed` })
  const closed = 'http://alice:hunter2@127.0.0.1:1/verify'
  expect(await ask(closed)).toEqual({
    kind: 'unreachable',
    reason: 'http://127.0.0.1:1/verify: connection refused',
  })
})

it('reports an untrusted certificate, and an unknown name', async () => {
  const { certificate, key } = goodPair('localhost')
  const server = createTlsServer({ cert: certificate, key }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const url = `https://localhost:${(server.address() as AddressInfo).port}`
  expect(await ask(url)).toEqual({
    kind: 'unreachable',
    reason: `${url}: its certificate is self-signed, and this host does not trust it`,
  })
  expect(await ask('http://nowhere.invalid/verify')).toEqual({
    kind: 'unreachable',
    reason: expect.stringMatching(/: (the host name is not known to DNS|DNS gives no answer)$/),
  })
})

it('a lack of file descriptors is a fault of this host, so it never fails open', async () => {
  const url = await serve((_request, response) => response.end('{"Allow":true}'))
  const script = `
    import { openSync } from 'node:fs'
    import { setTimeout } from 'node:timers/promises'
    import { UrlVerifier } from '#admission/url-verifier.ts'
    const verifier = new UrlVerifier(process.argv[1], {})
    // The runtime may close a file that it has loaded a moment later.
    for (let round = 0; round < 3; round++) {
      try { for (;;) openSync('/dev/null') } catch {}
      await setTimeout(50)
    }
    const { kind } = await verifier.verify({ key: new Uint8Array(32), source: '' }, new AbortController().signal)
    console.log(kind)
    process.exit()`
  const node = ['--nofile=64:64', process.execPath, '--no-warnings', '--input-type=module', '-e', script, url]
  expect((await runOk('prlimit', node)).trim()).toBe('fault')
})

it('times out after five seconds for the whole exchange', async () => {
  const url = await serve(() => undefined)
  const startedMs = performance.now()
  expect(await ask(url)).toEqual({ kind: 'unreachable', reason: `${url}: no answer within 5 s` })
  expect(performance.now() - startedMs).toBeGreaterThan(4_900)
}, 15_000)

it('reuses a connection, and repeats the request if the connection has been closed', async () => {
  const ports = new Set<number | undefined>()
  let closes = false
  const url = await serve((incoming, response) => {
    // Closes when a request comes over a kept connection.
    if (closes && ports.has(incoming.socket.remotePort)) return void incoming.socket.destroy()
    ports.add(incoming.socket.remotePort)
    response.end('{"Allow":true}')
  })
  const verifier = new UrlVerifier(url, {})
  onTestFinished(() => verifier.close())
  const verifyOnce = async (): Promise<string> =>
    (await verifier.verify(request, new AbortController().signal)).kind
  expect([await verifyOnce(), await verifyOnce(), await verifyOnce()]).toEqual([
    'allowed',
    'allowed',
    'allowed',
  ])
  expect(ports.size).toBe(1)
  closes = true
  expect(await verifyOnce()).toBe('allowed')
  expect(ports.size).toBe(2)
})
