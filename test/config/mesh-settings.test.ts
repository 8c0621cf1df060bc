import { expect, test } from 'vitest'
import { goodPair } from './certificates.ts'
import { ConfigFixture } from './config-fixture.ts'

const PSK = 'ab'.repeat(32)

function args(fixture: ConfigFixture, ...more: string[]): string[] {
  const psk = fixture.folder.write('psk', PSK)
  return ['-c', fixture.keyPath, '-a', '127.0.0.1:3340', '-mesh-psk-file', psk, ...more]
}

test.each([
  ['derp2.lab', { name: 'derp2.lab', host: 'derp2.lab', port: 443 }],
  ['derp2.lab:8443', { name: 'derp2.lab:8443', host: 'derp2.lab', port: 8_443 }],
  ['derp2.lab/vpc2', { name: 'derp2.lab/vpc2', host: 'derp2.lab', port: 443, dialHost: 'vpc2' }],
  ['derp2.lab:8443/2001:db8::2', { port: 8_443, dialHost: '2001:db8::2' }],
  ['[2001:db8::2]:444', { name: '[2001:db8::2]:444', host: '2001:db8::2', port: 444 }],
])('reads %s as derper does', (entry, sibling) => {
  using fixture = new ConfigFixture()
  const { mesh } = fixture.settings(args(fixture, '-mesh-with', entry))
  expect(mesh.siblings).toEqual([expect.objectContaining({ ...sibling, isInside: true })])
})

test.each([
  'a/b/c',
  'a/',
  '/b',
  'a:0',
  'a:65536',
  'a:x',
  'a b',
  '2001:db8::2',
  '[derp2.lab]',
  'https://derp2.lab',
])('refuses %s and names the expected form', (entry) => {
  using fixture = new ConfigFixture()
  expect(fixture.problems(args(fixture, '-mesh-with', `derp1.lab,${entry}`))).toEqual([
    `-mesh-with: invalid value ${JSON.stringify(entry)}; expected HOST, HOST:PORT or HOST/DIAL, where DIAL is the name or address to dial instead`,
  ])
})

test('an empty list means no mesh, with a key or without', () => {
  using fixture = new ConfigFixture()
  expect(fixture.settings(args(fixture, '-mesh-with=')).mesh.siblings).toEqual([])
  const without = ['-c', fixture.keyPath, '-a', '127.0.0.1:3340', '-mesh-with=']
  expect(fixture.settings(without).mesh.siblings).toEqual([])
})

test('reads authorities from a file, and refuses a file without any', () => {
  using fixture = new ConfigFixture()
  const pem = `${goodPair('a.example').certificate}# and another\n${goodPair('b.example').certificate}`
  const good = fixture.folder.write('ca.pem', pem)
  expect(fixture.settings(args(fixture, '-mesh-ca-file', good)).mesh.ca).toBe(pem)
  const bad = fixture.folder.write('empty.pem', 'nothing')
  expect(fixture.problems(args(fixture, '-mesh-ca-file', bad))).toEqual([
    `-mesh-ca-file: ${bad} contains no certificate; expected a PEM file of certificates`,
  ])
  const half = fixture.folder.write('half.pem', pem.replace(/.{40}\n-----END CERTIFICATE-----\n$/, '\n'))
  expect(fixture.problems(args(fixture, '-mesh-ca-file', half))).toEqual([
    `-mesh-ca-file: certificate 2 in ${half} is damaged; expected a PEM file of certificates`,
  ])
  const missing = fixture.folder.at('none.pem')
  expect(fixture.problems(args(fixture, '-mesh-ca-file', missing))).toEqual([
    `-mesh-ca-file: ${missing} does not exist; expected a PEM file of certificates`,
  ])
})
