import { expect, test } from 'vitest'
import { didYouMean, nearestWord } from '#config/nearest-word.ts'

const words = ['stun', 'stun-port', 'http-port', 'hostname', 'verify-clients', 'verify-client-url', 'a']

test.each([
  ['hostnmae', 'hostname'],
  ['hostname', 'hostname'],
  ['HostName', 'hostname'],
  ['http_port', 'http-port'],
  ['verify-client', 'verify-clients'],
  ['stn', 'stun'],
  ['port', undefined],
  ['zz', undefined],
])('suggests for %s: %s', (given, expected) => {
  expect(nearestWord(given, words)).toBe(expected)
})

test('asks only if there is a suggestion', () => {
  expect([didYouMean('stun'), didYouMean(undefined)]).toEqual(['; did you mean stun?', ''])
})
