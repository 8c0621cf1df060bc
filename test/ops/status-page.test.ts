// The status page as text: bounded, with one policy that permits exactly what is in it, and with everything that others may
// choose as text. How it looks and works in a browser is test/integration/status-page.test.ts.

import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { concernsOf, levelOf, overviewJson } from '#ops/overview.ts'
import { publicPage } from '#ops/public-page.ts'
import { STATUS_HEADERS, statusPage } from '#ops/status-page.ts'
import { sectionsOf } from '#ops/status-sections.ts'
import { hostileOverview, largeOverview, OVERVIEW } from './overviews.ts'

const PAGE_BYTES_MAX = 100_000

it('has the state, the numbers, the fleet, the map and the events in text', () => {
  const page = statusPage(OVERVIEW)
  const text = page
    .replaceAll(/<(style|script)>[^]*?<\/\1>/g, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
  for (const part of [
    'Serving',
    'down: nyc2.example · not ready: fra2.example',
    'Clients 412',
    '98.4 Mbit/s out',
    'Headroom 82 %',
    'Dropped 0.04 %',
    'Queue p99 1.3 ms',
    'Certificate 60 d left',
    '901b nyc2.example down',
    '900b fra2.example not ready',
    'Sydney draining 902 syd',
    'fleet relay down relay nyc2.example',
    'regionid: 900',
  ]) {
    expect(text).toContain(part)
  }
  expect(page).toMatch(/<td class="h4" title="jitter 0\.4 ms, loss 0 %">84<\/td>/)
  expect(page).toContain('<td class="cut">down</td>')
})

it('is bounded, whatever the fleet has', () => {
  for (const overview of [OVERVIEW, largeOverview(300)]) {
    expect(Buffer.byteLength(statusPage(overview))).toBeLessThan(PAGE_BYTES_MAX)
  }
})

it('runs and loads nothing but its own style, script and stream', () => {
  const page = statusPage(OVERVIEW)
  const policy = STATUS_HEADERS['Content-Security-Policy'] ?? ''
  const inside = (tag: string): string[] =>
    [...page.matchAll(new RegExp(`<${tag}>([^]*?)</${tag}>`, 'g'))].map(([, text = '']) => text)
  for (const tag of ['style', 'script'] as const) {
    const [text = '', ...more] = inside(tag)
    expect(more).toEqual([])
    const hash = createHash('sha256').update(text).digest('base64')
    expect(policy).toContain(`${tag}-src 'sha256-${hash}'`)
  }
  expect(policy).toContain("default-src 'none'")
  expect(policy).not.toContain('unsafe')
  const addresses = [...page.matchAll(/(?:src|href|action)="([^"]*)"/g)].map(([, address = '']) => address)
  expect(addresses.filter((address) => /^(https?:|\/\/)/.test(address))).toEqual([])
  expect(page).not.toMatch(/ (style|on\w+)="/)
})

it.each(['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "'&<b>"])(
  'shows %s as text',
  (text) => {
    const hostile = statusPage(hostileOverview(text))
    const tags = (page: string): string[] => [...page.matchAll(/<\/?([a-z0-9]+)/g)].map(([, tag = '']) => tag)
    const usual = new Set(tags(statusPage(OVERVIEW)))
    expect(tags(hostile).filter((tag) => !usual.has(tag))).toEqual([])
    expect(hostile).not.toContain(text)
  },
)

it('has the same parts while nothing changes, and others where something does', () => {
  const before = sectionsOf(OVERVIEW)
  expect(sectionsOf({ ...OVERVIEW })).toEqual(before)
  const after = sectionsOf({ ...OVERVIEW, state: 'draining', clientsLeft: 7 })
  expect(Object.keys(before).filter((id) => before[id] !== after[id])).toEqual(['state'])
})

it('judges: degraded while something needs a look, down while clients are not sent here', () => {
  const sound = { ...OVERVIEW, relays: OVERVIEW.relays.slice(0, 1), links: [] }
  expect([levelOf(sound), concernsOf(sound)]).toEqual(['ok', []])
  expect(levelOf(OVERVIEW)).toBe('degraded')
  const failing = { ...sound, state: 'notReady' as const, failing: ['stun: silent'] }
  expect([levelOf(failing), concernsOf(failing)]).toEqual(['down', ['stun: silent']])
  const old = { ...sound, atMs: (sound.certificate?.notAfterMs ?? 0) - 1_000 }
  expect(concernsOf(old)).toEqual(['certificate expires 2030-04-02'])
  expect(JSON.parse(overviewJson(sound))).toMatchObject({
    level: 'ok',
    clientsLeft: null,
    load: { clients: 412 },
  })
})

it('has a public page without host names and numbers, which is another only if a state is', () => {
  const page = publicPage(OVERVIEW)
  expect(page).toContain('<li><span>New York</span><b class="warn">partly up</b></li>')
  expect(page).not.toMatch(/example|412|1 of 2/)
  expect(
    publicPage({
      ...OVERVIEW,
      regions: OVERVIEW.regions.map((region) => Object.assign({}, region, { clients: 1 })),
    }),
  ).toBe(page)
  expect(publicPage({ ...OVERVIEW, state: 'draining' })).toContain('moves its clients away')
})
