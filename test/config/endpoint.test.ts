import { expect, test } from 'vitest'
import { endpointText, isLoopback } from '#config/endpoint.ts'

test.each([
  ['127.0.0.1', true],
  ['127.1.2.3', true],
  ['::1', true],
  ['::ffff:127.0.0.1', true],
  ['::ffff:7f00:1', true],
  ['0:0:0:0:0:0:0:1', true],
  ['localhost', true],
  ['LocalHost.', true],
  ['::', false],
  ['0.0.0.0', false],
  ['10.0.0.1', false],
  ['127.example.com', false],
])('%s is loopback: %s', (host, expected) => {
  expect(isLoopback(host)).toBe(expected)
})

test('writes addresses as Go does', () => {
  expect([endpointText({ host: '::1', port: 1 }), endpointText({ host: 'a', port: 2 })]).toEqual([
    '[::1]:1',
    'a:2',
  ])
})
