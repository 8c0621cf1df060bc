import { describe, expect, it } from 'vitest'
import { AdminPages } from '#ops/admin-pages.ts'
import { crossSiteProblem, hostProblem, isBrowser } from '#ops/browser-guard.ts'
import { Health } from '#ops/health.ts'
import { Metrics } from '#ops/metrics.ts'
import { Varz } from '#ops/varz.ts'
import { OVERVIEW } from './overviews.ts'
import { QUALITY, testSources } from './sources.ts'

const NAMES = ['derp1.example.com', 'status.example.com']

describe('the Host header of a page for browsers', () => {
  it.each([
    '127.0.0.1:9090',
    '[::1]:9090',
    'localhost',
    'localhost:9090',
    'relay.localhost:80',
    'DERP1.example.com:9090',
    'status.example.com.',
  ])('%s is permitted', (host) => {
    expect(hostProblem(host, NAMES)).toBeUndefined()
  })

  it.each([
    'attacker.example:9090',
    'derp1.example.com.attacker.example',
    'localhost.attacker.example',
    'notlocalhost',
    '127.0.0.1.attacker.example',
    'a@127.0.0.1',
    '',
    undefined,
  ])('%s is refused', (host) => {
    expect(hostProblem(host, NAMES)).toBeTypeOf('string')
  })
})

describe('a request of a page of another origin', () => {
  const host = '127.0.0.1:9090'

  it.each([
    ['a scraper', {}],
    [
      'an address that is typed',
      { 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
    ],
    [
      'a link',
      { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' },
    ],
    [
      "the page's own stream",
      { 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors', origin: `http://${host}` },
    ],
  ])('%s is permitted', (_, headers) => {
    expect(crossSiteProblem({ host, ...headers })).toBeUndefined()
  })

  it.each([
    ['a script', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors', 'sec-fetch-dest': 'script' }],
    ['a frame', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'iframe' }],
    ['another port of this host', { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors' }],
    ['an old browser', { origin: 'https://attacker.example' }],
    ['a file', { origin: 'null' }],
  ])('%s is refused', (_, headers) => {
    expect(crossSiteProblem({ host, ...headers })).toBeTypeOf('string')
  })
})

describe('a page that has been given this address under a name of its own (DNS rebinding)', () => {
  const sources = testSources()
  const pages = new AdminPages({
    metrics: new Metrics(sources),
    varz: new Varz(sources),
    health: new Health([]),
    fleet: () => '{}',
    quality: () => QUALITY,
    status: { overview: () => OVERVIEW, stream: { open: () => true }, names: NAMES },
    version: '1.2.3',
  })

  async function statusOf(path: string, host: string, isBrowserAsking: boolean): Promise<number | undefined> {
    const query = new URLSearchParams()
    const request = { path, query, accept: '*/*', ifNoneMatch: undefined, host, isBrowser: isBrowserAsking }
    const answer = await pages.answer(request)
    return answer !== undefined && 'status' in answer ? answer.status : undefined
  }

  it.each([
    '/',
    '/status',
    '/status.json',
    '/status/events',
    '/fleet',
    '/quality',
    '/metrics',
    '/debug/varz',
  ])('%s is not for it', async (path) => {
    expect(await statusOf(path, 'attacker.example:9090', true)).toBe(421)
    if (path !== '/status/events') expect(await statusOf(path, NAMES[0] ?? '', true)).toBe(200)
  })

  it('leaves scrapers, which use any name of a service, and probes alone', async () => {
    expect(await statusOf('/metrics', 'relay.monitoring.svc:9090', false)).toBe(200)
    expect(await statusOf('/readyz', 'relay.monitoring.svc:9090', true)).toBe(200)
  })

  it('is told from programs by what every browser sends', () => {
    const agent = 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'
    expect(isBrowser({ 'user-agent': agent })).toBe(true)
    // A script of the page can change the first in some browsers.
    expect(isBrowser({ 'user-agent': 'x', 'accept-language': 'en-US' })).toBe(true)
    expect(isBrowser({ 'user-agent': 'x', 'sec-fetch-site': 'same-origin' })).toBe(true)
    expect(isBrowser({ 'user-agent': 'Prometheus/3.5.0' })).toBe(false)
    expect(isBrowser({ 'user-agent': 'node', 'accept-language': '*', 'sec-fetch-mode': 'cors' })).toBe(false)
    expect(isBrowser({})).toBe(false)
  })
})
