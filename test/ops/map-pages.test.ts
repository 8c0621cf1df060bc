// The map on the admin port, over HTTP.

import { afterEach, beforeEach, expect, it } from 'vitest'
import { AdminPages } from '#ops/admin-pages.ts'
import { AdminServer } from '#ops/admin-server.ts'
import { Health } from '#ops/health.ts'
import { Log } from '#ops/log.ts'
import type { ServedMap } from '#ops/map-pages.ts'
import { Metrics } from '#ops/metrics.ts'
import { Varz } from '#ops/varz.ts'
import { QUALITY, testSources } from './sources.ts'

const PATHS = ['/derpmap.json', '/derpmap.yaml', '/derpmap.policy']

let signature: string | undefined
let isStale: boolean
let isBroken: boolean
let server: AdminServer
let base: string

beforeEach(async () => {
  signature = 'c2ln'
  isStale = false
  isBroken = false
  const sources = testSources({})
  const pages = new AdminPages({
    metrics: new Metrics(sources),
    varz: new Varz(sources),
    health: new Health([]),
    fleet: () => '{}',
    quality: () => QUALITY,
    version: '1',
    map: {
      map: (form): ServedMap => {
        if (isBroken) throw new Error('a bug')
        return { text: `the map as ${form}`, version: 'v1', etag: '"v1"', signature }
      },
      get isStale() {
        return isStale
      },
    },
  })
  server = new AdminServer(
    { host: '127.0.0.1', port: 0 },
    pages,
    new Log('error', { write: () => undefined }),
  )
  base = `http://127.0.0.1:${(await server.start()).port}`
})

afterEach(() => server.close())

it.each(PATHS)('%s has the bytes, and the rest in headers', async (path) => {
  const answer = await fetch(base + path)
  expect([answer.status, await answer.text()]).toEqual([200, expect.stringMatching(/^the map as \w+$/)])
  const names = [
    'etag',
    'derpfleet-map-version',
    'derpfleet-map-signature',
    'derpfleet-map-stale',
    'cache-control',
  ]
  expect(names.map((name) => answer.headers.get(name))).toEqual(['"v1"', 'v1', 'c2ln', null, 'no-cache'])
  const head = await fetch(base + path, { method: 'HEAD' })
  expect([head.headers.get('etag'), head.headers.get('content-length'), await head.text()]).toEqual([
    '"v1"',
    answer.headers.get('content-length'),
    '',
  ])
})

it.each([
  ['"v1"', 304],
  ['W/"v1"', 304],
  ['"x", "v1"', 304],
  ['*', 304],
  ['"v2"', 200],
  ['v1', 200],
])('If-None-Match: %s is answered %i', async (tag, status) => {
  const answer = await fetch(`${base}/derpmap.json`, { headers: { 'If-None-Match': tag } })
  expect([answer.status, answer.headers.get('etag')]).toEqual([status, '"v1"'])
  expect(await answer.text()).toBe(status === 304 ? '' : 'the map as json')
})

it.each(PATHS)('%s.sig is the signature, or says that there is none', async (path) => {
  expect(await (await fetch(`${base}${path}.sig`)).text()).toBe('c2ln\n')
  signature = undefined
  const none = await fetch(`${base}${path}.sig`)
  expect([none.status, none.headers.get('content-type')]).toEqual([404, 'text/plain; charset=utf-8'])
  expect((await fetch(base + path)).headers.has('derpfleet-map-signature')).toBe(false)
})

it('marks a map that may be stale', async () => {
  isStale = true
  expect((await fetch(`${base}/derpmap.json`)).headers.get('derpfleet-map-stale')).toBe('true')
})

it('no error is JSON, which Headscale would take for a map', async () => {
  isBroken = true
  const answers = [
    await fetch(`${base}/derpmap.json`),
    await fetch(`${base}/derpmap.json`, { method: 'POST' }),
    await fetch(`${base}/derpmap`),
  ]
  expect(answers.map(({ status }) => status)).toEqual([500, 405, 404])
  for (const answer of answers) {
    expect(answer.headers.get('content-type')).toBe('text/plain; charset=utf-8')
    const text = await answer.text()
    expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError)
  }
})
