import { describe, expect, it } from 'vitest'
import { crossSiteProblem, hostProblem } from '#ops/browser-guard.ts'

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
