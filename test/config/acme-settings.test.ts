import { expect, test } from 'vitest'
import type { AcmeSettings } from '#config/settings.ts'
import { ConfigFixture } from './config-fixture.ts'

/** derper's commonest command line, on loopback. */
function args(fixture: ConfigFixture, ...more: string[]): string[] {
  return ['-c', fixture.keyPath, '-a', '127.0.0.1:443', '-hostname', 'a.example', ...more]
}

function acme(fixture: ConfigFixture, more: string[], publicAddresses: string[] = []): AcmeSettings {
  const settings = fixture.settings(args(fixture, ...more), {}, { publicAddresses })
  expect([settings.isTls, settings.certificate]).toEqual([true, undefined])
  if (settings.acme === undefined) throw new Error('no ACME')
  return settings.acme
}

test("derper's default is a certificate of Let's Encrypt in derper's folder", () => {
  using fixture = new ConfigFixture()
  expect(acme(fixture, [])).toEqual({
    directoryUrl: 'https://acme-v02.api.letsencrypt.org/directory',
    email: undefined,
    eab: undefined,
    names: [{ name: 'a.example', profile: undefined, isProfileRequired: false }],
    kinds: ['tls-alpn-01', 'http-01'],
    folder: fixture.folder.at('cache/tailscale/derper-certs'),
  })
})

test('gcp is Google, and needs an external account and an address, as with derper', () => {
  using fixture = new ConfigFixture()
  expect(fixture.problems(args(fixture, '-certmode', 'gcp'))).toEqual([
    '-acme-email: is not set; expected an e-mail address for -certmode gcp',
    '-acme-eab-kid: is not set; expected a key identifier for -certmode gcp',
    '-acme-eab-key: is not set; expected a key in base64 or base64url for -certmode gcp',
  ])
  const eab = ['-acme-eab-kid', 'kid', '-acme-eab-key', 'c2VjcmV0LXNlY3JldC1zZWNyZXQ']
  expect(acme(fixture, ['-certmode', 'gcp', '-acme-email', 'ops@a.example', ...eab])).toMatchObject({
    directoryUrl: 'https://dv.acme-v02.api.pki.goog/directory',
    email: 'ops@a.example',
    eab: { kid: 'kid', key: 'c2VjcmV0LXNlY3JldC1zZWNyZXQ' },
  })
})

test.each([
  [['-acme-eab-kid', 'k'], '-acme-eab-key: is not set'],
  [['-acme-eab-key', 'c2VjcmV0LXNlY3JldC1zZWNyZXQ'], '-acme-eab-kid: is not set'],
  [
    ['-acme-eab-kid', 'k', '-acme-eab-key', 'not base64!'],
    '-acme-eab-key: contains other characters, or too few',
  ],
  [['-acme-email', 'a@b, c@d'], '-acme-email: invalid value "a@b, c@d"'],
  [['-acme-directory', 'http://ca.example/dir'], '-acme-directory: invalid value'],
  [['-acme-challenge', 'http-01', '-http-port', '-1'], '-http-port: is off'],
  [['-acme-challenge', 'dns-01'], '-acme-challenge: invalid value "dns-01"'],
])('%j is a problem', (more, start) => {
  using fixture = new ConfigFixture()
  const problems = fixture.problems(args(fixture, ...more))
  expect(problems).toEqual([expect.stringMatching(new RegExp(`^${start}`))])
  expect(problems.join()).not.toContain('not base64!')
})

test.each([
  ['derper tries names on the TLS port first', [], ['tls-alpn-01', 'http-01']],
  ['a port that authorities use comes first', ['-a', '127.0.0.1:8443'], ['http-01', 'tls-alpn-01']],
  ['without HTTP only TLS is left', ['-http-port', '-1'], ['tls-alpn-01']],
  ['one can be chosen', ['-acme-challenge', 'http-01'], ['http-01']],
  [
    'one can be chosen on any port',
    ['-a', '127.0.0.1:8443', '-acme-challenge', 'tls-alpn-01'],
    ['tls-alpn-01'],
  ],
])('%s', (_, more, kinds) => {
  using fixture = new ConfigFixture()
  expect(acme(fixture, ['-certmode', 'letsencrypt', ...more]).kinds).toEqual(kinds)
})

test('warns if no port is one that authorities use', () => {
  using fixture = new ConfigFixture()
  const ports = ['-a', '127.0.0.1:8443', '-http-port', '8080']
  expect(fixture.settings(args(fixture, '-certmode', 'letsencrypt', ...ports)).warnings).toEqual([
    "-acme-challenge auto: the authority connects to port 80 or 443 of a.example; make sure that one of them leads to this relay's port 8080 or 8443",
  ])
})

test('an address needs -acme-ip-certs, and gets the profile for addresses', () => {
  using fixture = new ConfigFixture()
  const address = ['-hostname', '192.0.2.7']
  expect(fixture.problems(args(fixture, ...address))).toEqual([
    expect.stringMatching(
      /^-hostname: 192\.0\.2\.7 is an IP address; expected a host name, or -acme-ip-certs/,
    ),
  ])
  const shortlived = { name: '192.0.2.7', profile: 'shortlived', isProfileRequired: false }
  expect(acme(fixture, [...address, '-acme-ip-certs'])).toMatchObject({
    names: [shortlived],
    kinds: ['http-01', 'tls-alpn-01'],
  })
  expect(acme(fixture, [...address, '-acme-ip-certs', '-acme-profile', 'p']).names).toEqual([
    { ...shortlived, profile: 'p', isProfileRequired: true },
  ])
})

test('a name and -acme-ip-certs: also the address of -a, or the public addresses of this host', () => {
  using fixture = new ConfigFixture()
  const names = (more: string[], found: string[]): string[] =>
    acme(fixture, ['-acme-ip-certs', '-open-relay', ...more], found).names.map(({ name }) => name)
  expect(names([], ['198.18.0.1'])).toEqual(['a.example', '127.0.0.1'])
  expect(names(['-a', ':443'], ['192.0.2.9', '2001:db8::9'])).toEqual([
    'a.example',
    '192.0.2.9',
    '2001:db8::9',
  ])
  const none = fixture.settings(args(fixture, '-a', ':443', '-acme-ip-certs', '-open-relay'))
  expect(none.warnings.filter((text) => text.startsWith('-acme'))).toEqual([
    '-acme-ip-certs: this host has no public address of its own; only a.example gets a certificate',
  ])
})
