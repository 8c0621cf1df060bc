// The verify request compared with Go's client, which derper uses: both request each URL in the same environment, and the
// results are the same.

import { readFileSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { UrlVerifier } from '#admission/url-verifier.ts'
import { reasonOf } from '#fleet/problem.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { DAY_MS, makePair } from '../config/certificates.ts'
import { issueCertificate, makeAuthority } from '../support/certificate.ts'
import { runOk } from '../support/process.ts'
import { admissionRequest, admissionSource } from '../vectors/admission.ts'
import { clientA } from '../vectors/keys.ts'
import { goNeeded, needGo } from '../support/foreign-build.ts'
import { responses } from './backend-responses.ts'
import { ForwardingProxy, RawHttpServer } from './raw-servers.ts'

type Environment = Readonly<Record<string, string>>

const folder = new TemporaryFolder()
const goClient = folder.at('go-client')
/** Older ones have an HTTP client that differs, and do not build the program. */
const whyNot = await needGo(goNeeded.client).then(() => undefined, reasonOf)
const hasGo = whyNot === undefined
if (!hasGo) process.stderr.write(`SKIPPING comparison with Go: ${whyNot}\n`)

beforeAll(async () => {
  if (hasGo)
    await runOk('go', ['build', '-o', goClient, `${import.meta.dirname}/go-client/main.go`], {
      timeoutMs: 120_000,
    })
}, 130_000)
afterAll(() => folder[Symbol.dispose]())

async function resultsOfGo(urls: readonly string[], env: Environment): Promise<string[]> {
  const { HOME = '', PATH = '' } = process.env
  const child = spawn(goClient, [admissionRequest], { env: { HOME, PATH, ...env } })
  child.stdin.end(`${urls.join('\n')}\n`)
  return (await text(child.stdout)).trimEnd().split('\n')
}

async function resultsOfRelay(urls: readonly string[], env: Environment): Promise<string[]> {
  const request = { key: clientA.publicKey, source: admissionSource }
  // All verifiers are made before the first time limit starts.
  const verifiers = urls.map(verifierOf.bind(undefined, env))
  return await Promise.all(
    verifiers.map(async (verifier) => {
      if (typeof verifier === 'string') return verifier
      const { kind } = await verifier.verify(request, new AbortController().signal)
      verifier.close()
      return kind === 'denied' || kind === 'unusable' ? 'refused' : kind
    }),
  )
}

function verifierOf(env: Environment, url: string): UrlVerifier | string {
  try {
    return new UrlVerifier(url, env)
  } catch (error) {
    return `no request: ${String(error)}`
  }
}

/** The results of both, as lines `URL: result`. */
async function both(
  urls: readonly string[],
  env: Environment = {},
): Promise<[relay: string[], go: string[]]> {
  const [relay, go] = await Promise.all([resultsOfRelay(urls, env), resultsOfGo(urls, env)])
  const named = (results: readonly string[]): string[] => urls.map((url, at) => `${url}: ${results[at]}`)
  return [named(relay), named(go)]
}

const resultsIn = (lines: readonly string[]): (string | undefined)[] =>
  lines.map((line) => line.split(': ').at(-1))

describe.skipIf(!hasGo)("the verify request gives the same result as Go's client", () => {
  test('for every response of the backend', { timeout: 60_000 }, async () => {
    await using server = await new RawHttpServer(responses).listen()
    const urls = Object.keys(responses).map((path) => `http://127.0.0.1:${server.port}${path}`)
    const [relay, go] = await both(urls)
    expect(relay).toEqual(go)
    // The comparison is meaningful only if every result occurs.
    for (const result of ['allowed', 'refused', 'unreachable']) expect(resultsIn(go)).toContain(result)
  })

  test('for every form of the URL', { timeout: 60_000 }, async () => {
    await using server = await new RawHttpServer(responses).listen()
    await using six = await new RawHttpServer(responses).listen('::1')
    const at = `127.0.0.1:${server.port}`
    const urls = [
      `HTTP://${at}/allow`,
      `http://alice:p%40ss%20word@${at}/wants-alice`,
      `http://alice@${at}/wants-alice-alone`,
      `http://alice:p%40ss%20word@${at}/to-wants-alice`,
      `http://alice:p%40ss%20word@${at}/absolute-to-nobody`,
      `http://alice:p%40ss%20word@${at}/with-alice`,
      `http://${at}/wants-query?a=b&c=%20d`,
      `http://${at}/wants-query?a=b&c=%20d#fragment`,
      `http://${at}/wants blank`,
      `http://${at}/wants%2Fescapes`,
      `http://${at}/wants/../dots`,
      `http://${at}`,
      `http://${at}?`,
      `http://localhost:${server.port}/allow`,
      `http://LOCALHOST:${server.port}/allow`,
      `http://[::1]:${six.port}/allow`,
      `http://[::1%25lo]:${six.port}/allow`,
      `http://nowhere.invalid:${server.port}/allow`,
      `https://${at}/allow`,
      'http://127.0.0.1:1/allow',
      'http://127.0.0.1:6000/allow',
    ]
    const [relay, go] = await both(urls)
    expect(relay).toEqual(go)
    expect(resultsIn(go).filter((result) => result === 'allowed').length).toBeGreaterThan(14)
  })

  test('for invalid URLs', async () => {
    const urls = [
      'http://',
      'http://[::1/x',
      'http://127.0.0.1:port/',
      'http://a b/',
      'http://127.0.0.1/%zz',
      'http://us er@127.0.0.1/',
      'http://127.0.0.1:80:80/',
      '://x',
      'http:/\u007f/x',
      'ftp://127.0.0.1/',
      '127.0.0.1:80/x',
    ]
    const [relay, go] = await both(urls)
    // Go notices some of them only at the request.
    for (const [index, line] of relay.entries()) {
      expect(line).toContain(': no request')
      expect(go[index]).toMatch(/: (no request|unreachable)/)
    }
  })

  test('for ports that browsers block', async () => {
    await using server = await new RawHttpServer(responses).listen('127.0.0.1', 10_080)
    expect(resultsIn((await both([`http://127.0.0.1:${server.port}/allow`])).flat())).toEqual([
      'allowed',
      'allowed',
    ])
  })

  test('for every signer of the certificate', { timeout: 60_000 }, async () => {
    const authority = await makeAuthority(folder.path, 'authority')
    const good = await issueCertificate(folder.path, 'localhost', authority)
    const byIp = await issueCertificate(folder.path, '127.0.0.1', authority)
    const elsewhere = await issueCertificate(folder.path, 'elsewhere.test', authority)
    const plain = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-x509', '-days', '9']
    const nameless = { certPath: folder.at('cn.crt'), keyPath: folder.at('cn.key') }
    await runOk('openssl', [
      'req',
      ...plain,
      '-subj',
      '/CN=localhost',
      '-keyout',
      nameless.keyPath,
      '-out',
      nameless.certPath,
    ])
    const old = makePair(['localhost'], Date.now() - 9 * DAY_MS, Date.now() - DAY_MS)
    const own = makePair(['localhost'], Date.now() - DAY_MS, Date.now() + DAY_MS)
    const tls = async (pair: { certPath: string; keyPath: string } | { certificate: string; key: string }) =>
      await new RawHttpServer(
        responses,
        'certPath' in pair
          ? { cert: readFileSync(pair.certPath, 'utf8'), key: readFileSync(pair.keyPath, 'utf8') }
          : { cert: pair.certificate, key: pair.key },
      ).listen()
    const servers = await Promise.all([good, elsewhere, nameless, old, own, byIp].map(tls))
    const hosts = servers.map((_server, at) => (at === 5 ? '127.0.0.1' : 'localhost'))
    const urls = servers.map(({ port }, at) => `https://${hosts[at]}:${port}/allow`)
    const all = [authority.certPath, nameless.certPath].map((path) => readFileSync(path, 'utf8'))
    // Like operators' files: comments, trailing blanks, other line ends, one long line, junk.
    const odd = [
      '# our own\r\n',
      ...all.map((pem) => pem.replaceAll('\n', ' \r\n')),
      own.certificate,
      old.certificate,
    ]
    const bundle = folder.write(
      'bundle.pem',
      `${odd.join('junk\n')}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`,
    )
    using certs = new TemporaryFolder()
    certs.write(
      'one.pem',
      all
        .join('')
        .replace(/\n(?!-)/g, '')
        .replace('CERTIFICATE-----', 'CERTIFICATE-----\n'),
    )
    certs.write('mine', readFileSync(authority.certPath, 'utf8'))
    const [expected, none] = [
      ['allowed', 'unreachable', 'unreachable', 'unreachable', 'allowed', 'allowed'],
      Array(6).fill('unreachable'),
    ]
    const byAuthority = ['allowed', ...none.slice(2), 'allowed']
    for (const [env, results] of [
      [{}, none],
      [{ SSL_CERT_FILE: bundle }, expected],
      [{ SSL_CERT_DIR: certs.path }, byAuthority],
      [{ SSL_CERT_DIR: `/nowhere:${certs.path}`, SSL_CERT_FILE: '/nowhere' }, byAuthority],
    ] as const) {
      const [relay, go] = await both(urls, env)
      expect([env, relay]).toEqual([env, go])
      expect(resultsIn(go)).toEqual(results)
    }
    for (const server of servers) await server[Symbol.asyncDispose]()
  })

  test('for every proxy', { timeout: 60_000 }, async () => {
    const authority = await makeAuthority(folder.path, 'proxied authority')
    const certificate = await issueCertificate(folder.path, '*.test', authority)
    const pem = {
      cert: readFileSync(certificate.certPath, 'utf8'),
      key: readFileSync(certificate.keyPath, 'utf8'),
    }
    await using plain = await new RawHttpServer(responses).listen()
    await using secure = await new RawHttpServer(responses, pem).listen()
    await using toPlain = await new ForwardingProxy(plain.port).listen()
    await using toSecure = await new ForwardingProxy(secure.port).listen()
    await using strict = await new ForwardingProxy(
      plain.port,
      `Basic ${Buffer.from('bob:secret').toString('base64')}`,
    ).listen()
    await using strictSecure = await new ForwardingProxy(
      secure.port,
      'Proxy-Authorization: Basic Ym9iOnNlY3JldA==',
    ).listen()
    const trust = { SSL_CERT_FILE: authority.certPath }
    const proxies = {
      HTTP_PROXY: `http://127.0.0.1:${toPlain.port}`,
      HTTPS_PROXY: `127.0.0.1:${toSecure.port}`,
    }
    const urls = [
      'http://a.test/allow',
      'http://a.test:81/307',
      'https://a.test/allow',
      'https://b.a.test/allow',
      `http://127.0.0.1:${plain.port}/allow`,
    ]
    const inside = ['allowed', 'allowed', 'allowed', 'unreachable', 'allowed']
    const outside = ['unreachable', 'unreachable', 'unreachable', 'unreachable', 'allowed']
    const environments: readonly (readonly [Environment, readonly string[]])[] = [
      [{}, outside],
      [proxies, inside],
      [{ http_proxy: proxies.HTTP_PROXY, https_proxy: `http://${proxies.HTTPS_PROXY}` }, inside],
      [{ ...proxies, NO_PROXY: 'test' }, outside],
      [{ ...proxies, no_proxy: 'other, .a.test' }, inside],
      [{ ...proxies, NO_PROXY: '*' }, outside],
      [
        { ...proxies, NO_PROXY: 'a.test:81' },
        ['allowed', 'unreachable', 'allowed', 'unreachable', 'allowed'],
      ],
      [{ ...proxies, NO_PROXY: '10.0.0.0/8, 127.0.0.1, *.test:82' }, inside],
      [
        {
          HTTP_PROXY: `http://bob:secret@127.0.0.1:${strict.port}`,
          HTTPS_PROXY: `http://bob:secret@127.0.0.1:${strictSecure.port}`,
        },
        inside,
      ],
      [
        {
          HTTP_PROXY: `http://127.0.0.1:${strict.port}`,
          HTTPS_PROXY: `http://127.0.0.1:${strictSecure.port}`,
        },
        ['refused', 'refused', 'unreachable', 'unreachable', 'allowed'],
      ],
      [
        {
          HTTP_PROXY: `socks5://127.0.0.1:${toPlain.port}`,
          HTTPS_PROXY: `socks5h://127.0.0.1:${toSecure.port}`,
        },
        inside,
      ],
      [{ HTTP_PROXY: 'http://127.0.0.1:1', HTTPS_PROXY: 'http://127.0.0.1:1' }, outside],
    ]
    for (const [env, results] of environments) {
      const [relay, go] = await both(urls, { ...trust, ...env })
      expect([env, relay]).toEqual([env, go])
      expect([env, resultsIn(go)]).toEqual([env, results])
    }
  })
})
