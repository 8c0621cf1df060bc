import { expect, test } from 'vitest'
import { parseTarget } from '#probe/target.ts'

function relay(host: string, port: number, isPlain = false): object {
  return { kind: 'relay', host, port, isPlain }
}

test.each([
  ['relay.example', relay('relay.example', 443)],
  ['relay.example:8443', relay('relay.example', 8_443)],
  ['192.0.2.7:8443', relay('192.0.2.7', 8_443)],
  ['2001:db8::7', relay('2001:db8::7', 443)],
  ['[2001:db8::7]:8443', relay('2001:db8::7', 8_443)],
  ['https://relay.example', relay('relay.example', 443)],
  ['https://[2001:db8::7]:8443/derp', relay('2001:db8::7', 8_443)],
  ['http://127.0.0.1:3340', relay('127.0.0.1', 3_340, true)],
  ['http://relay.example/', relay('relay.example', 80, true)],
  ['https://relay.example/derpmap.json', { kind: 'map-url', url: 'https://relay.example/derpmap.json' }],
  ['https://relay.example/?v=1', { kind: 'map-url', url: 'https://relay.example/?v=1' }],
  ['map.json', { kind: 'map-file', path: 'map.json' }],
  ['derp.yaml', { kind: 'map-file', path: 'derp.yaml' }],
  ['./map', { kind: 'map-file', path: './map' }],
  ['file:///etc/derp%20map', { kind: 'map-file', path: '/etc/derp map' }],
])('parses %s', (text, target) => {
  expect(parseTarget(text)).toEqual(target)
})

test.each([
  'relay.example:0',
  'relay.example:70000',
  'relay.example:',
  '[relay.example]:443',
  'a b',
  'https://',
  'https://me:secret@relay.example/',
  'file://elsewhere/map',
])('refuses %s', (text) => {
  expect(parseTarget(text)).toBeUndefined()
})
