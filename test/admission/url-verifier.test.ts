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

const applicant = { key: clientA.publicKey, source: admissionSource }

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/verify`
}

async function ask(url: string, of = applicant): Promise<VerifierResult> {
  const verifier = new UrlVerifier(url, {})
  onTestFinished(() => verifier.close())
  return await verifier.verify(of, new AbortController().signal)
}

it('asks with the key and the source, which may be unknown', async () => {
  const bodies: string[] = []
  const url = await serve((request, response) => {
    request.setEncoding('utf8').on('data', (text: string) => bodies.push(text))
    request.on('end', () => response.end('{"Allow":true}'))
  })
  expect(await ask(url)).toEqual({ kind: 'allowed', reason: '' })
  expect(await ask(url, { ...applicant, source: '' })).toEqual({ kind: 'allowed', reason: '' })
  expect(bodies).toEqual([admissionRequest, admissionRequest.replace(admissionSource, '')])
})

it.each(admissionAnswers)('takes $status $body for $isAdmitted', async ({ status, body, isAdmitted }) => {
  const url = await serve((_request, response) => {
    response.statusCode = status
    response.end(body)
  })
  const { kind } = await ask(url)
  expect(kind === 'allowed').toBe(isAdmitted)
  // What was reached never fails open.
  expect(kind).not.toBe('unreachable')
})

it.each([
  [200, '{"Allow":false}', 'denied', /does not allow this key/],
  [403, '', 'denied', /answered 403/],
  [502, '', 'unusable', /answered 502/],
  [429, '', 'unusable', /answered 429/],
  [200, '<html>', 'unusable', /answered 200 with something else/],
])('tells a stranger from a back end that does not work: %i %s is %s', async (status, body, kind, reason) => {
  const url = await serve((_request, response) => {
    response.statusCode = status
    response.end(body)
  })
  expect(await ask(url)).toEqual({ kind, reason: expect.stringMatching(reason) })
})

it('says what stands in the way, and neither password nor query', async () => {
  const url = await serve((request) => request.socket.destroy())
  const secret = url.replace('//', '//alice:hunter2@') + '?token=hunter3'
  expect(await ask(secret)).toEqual({ kind: 'unreachable', reason: `${url}: the connection was broken off` })
  const closed = 'http://alice:hunter2@127.0.0.1:1/verify'
  expect(await ask(closed)).toEqual({
    kind: 'unreachable',
    reason: 'http://127.0.0.1:1/verify: connection refused',
  })
})

it('says that a certificate is not trusted, and that a name is not known', async () => {
  const { certificate, key } = goodPair('localhost')
  const server = createTlsServer({ cert: certificate, key }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const url = `https://localhost:${(server.address() as AddressInfo).port}`
  expect(await ask(url)).toEqual({
    kind: 'unreachable',
    reason: `${url}: its certificate is self-signed, and not among those that this host trusts`,
  })
  expect(await ask('http://nowhere.invalid/verify')).toEqual({
    kind: 'unreachable',
    reason: expect.stringMatching(/: (the host name is not known to DNS|DNS gives no answer)$/),
  })
})

it('does not blame the back end for a want of descriptors, so that it never fails open', async () => {
  const url = await serve((_request, response) => response.end('{"Allow":true}'))
  const script = `
    import { openSync } from 'node:fs'
    import { UrlVerifier } from '#admission/url-verifier.ts'
    const verifier = new UrlVerifier(process.argv[1], {})
    try { for (;;) openSync('/dev/null') } catch {}
    const { kind } = await verifier.verify({ key: new Uint8Array(32), source: '' }, new AbortController().signal)
    console.log(kind)
    process.exit()`
  const node = ['--nofile=64:64', process.execPath, '--no-warnings', '--input-type=module', '-e', script, url]
  expect((await runOk('prlimit', node)).trim()).toBe('fault')
})

it('waits five seconds for the whole exchange', async () => {
  const url = await serve(() => undefined)
  const startedMs = performance.now()
  expect(await ask(url)).toEqual({ kind: 'unreachable', reason: `${url}: no answer within 5 s` })
  expect(performance.now() - startedMs).toBeGreaterThan(4_900)
}, 15_000)

it('uses a connection again, and asks anew where it has been closed meanwhile', async () => {
  const ports = new Set<number | undefined>()
  let closes = false
  const url = await serve((request, response) => {
    // Closed when the question has come over a kept connection.
    if (closes && ports.has(request.socket.remotePort)) return void request.socket.destroy()
    ports.add(request.socket.remotePort)
    response.end('{"Allow":true}')
  })
  const verifier = new UrlVerifier(url, {})
  onTestFinished(() => verifier.close())
  const once = async (): Promise<string> =>
    (await verifier.verify(applicant, new AbortController().signal)).kind
  expect([await once(), await once(), await once()]).toEqual(['allowed', 'allowed', 'allowed'])
  expect(ports.size).toBe(1)
  closes = true
  expect(await once()).toBe('allowed')
  expect(ports.size).toBe(2)
})
