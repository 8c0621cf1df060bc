import { expect, test } from 'vitest'
import { Diagnostics } from '#config/diagnostics.ts'
import { resolveListeners, type Listeners } from '#config/listener-settings.ts'
import { problemText } from '#fleet/problem.ts'
import { readSettings } from '#config/read-settings.ts'

function listen(...args: string[]): Listeners & { problems: string[]; warnings: readonly string[] } {
  const diagnostics = new Diagnostics()
  const listeners = resolveListeners(readSettings(args, {}).values, diagnostics)
  return { ...listeners, problems: diagnostics.problems.map(problemText), warnings: diagnostics.warnings }
}

const PORT_80 = { host: '', port: 80 }

test.each([
  ['443 speaks TLS', [], true, PORT_80],
  ['https speaks TLS', ['-a', ':https'], true, PORT_80],
  ['another port is plain', ['-a', '127.0.0.1:3340'], false, undefined],
  ['another port with certificate files speaks TLS', ['-a', ':3340', '-certmode', 'manual'], true, PORT_80],
  ['-dev is plain', ['-dev'], false, undefined],
  ['an empty mode is none', ['-a', '127.0.0.1:3340', '-certmode=', '-acme-ip-certs=false'], false, undefined],
  ['the HTTP port can be off', ['-http-port', '-1'], true, undefined],
])("follows derper's rule: %s", (_name, args, isTls, http) => {
  expect(listen(...args)).toMatchObject({ isTls, http, problems: [], warnings: [] })
})

test.each([
  ['any mode that is given', ['-a', ':3340', '-certmode', 'letsencrypt'], true],
  ['an ACME option', ['-a', ':3340', '-acme-email', 'ops@a.example'], true],
  ['a certificate for addresses', ['-a', ':3340', '-acme-ip-certs'], true],
  ['-tls on', ['-a', ':3340', '-tls', 'on'], true],
  ['-tls off on port 443, behind a proxy', ['-tls', 'off'], false],
  ['-tls off with a mode', ['-a', ':3340', '-tls', 'off', '-certmode', 'letsencrypt'], false],
])('beyond that rule: %s', (_name, args, isTls) => {
  expect(listen(...args)).toMatchObject({ isTls, problems: [], warnings: [] })
})

test('binds HTTP and STUN on the address of the DERP port', () => {
  expect(listen('-a', '[::1]:443', '-http-port', '8080', '-stun-port', '3479')).toMatchObject({
    http: { host: '::1', port: 8080 },
    stun: { host: '::1', port: 3479 },
  })
})

test('can disable STUN and the admin pages', () => {
  expect(listen('-stun=false', '-admin', 'off')).toMatchObject({ stun: undefined, admin: undefined })
})

test('an empty -admin restores the default address over a file or the environment; it does not disable the pages', () => {
  const diagnostics = new Diagnostics()
  const raw = readSettings(['-admin='], { DERPFLEET_ADMIN: '0.0.0.0:9191' })
  expect(raw.problems).toEqual([])
  expect(resolveListeners(raw.values, diagnostics).admin).toEqual({ host: '127.0.0.1', port: 9090 })
  expect(diagnostics.warnings).toEqual([])
})

test('-dev listens on 3340 and ignores -a', () => {
  expect(listen('-dev', '-a', '127.0.0.1:1').derp).toEqual({ host: '', port: 3340 })
})

test('reports two listeners on one port', () => {
  expect(listen('-a', ':443', '-http-port', '443', '-admin', '127.0.0.1:443').problems).toEqual([
    '-http-port: port 443 is already used by -a; expected a different port',
    '-admin: port 443 is already used by -a; expected a different port',
  ])
  expect(listen('-a', '127.0.0.2:9090').problems).toEqual([])
  expect(listen('-a', '127.0.0.1:0', '-admin', '127.0.0.1:0').problems).toEqual([])
})

test('warns of options without effect and of a public admin address', () => {
  expect(listen('-a', ':3340', '-http-port', '80', '-admin', '0.0.0.0:9090').warnings).toEqual([
    '-http-port 80: has no effect, because the DERP port serves plain HTTP',
    expect.stringMatching(/^-a: port 3340 serves plain HTTP, as derper does .* set -tls off$/),
    '-admin 0.0.0.0:9090: the admin pages have no authentication; do not expose this address to the internet',
  ])
})

test.each([
  ['on a public address', ['-a', ':8443'], 1],
  ['with -tls off', ['-a', ':8443', '-tls', 'off'], 0],
  ['with certificate files', ['-a', ':8443', '-certmode', 'manual'], 0],
  ['on port 443', ['-certmode', 'letsencrypt'], 0],
  ['on loopback, as behind a proxy', ['-a', 'localhost:8443'], 0],
  ['with -dev', ['-dev'], 0],
])('warns that a port speaks no TLS if the operator may expect TLS: %s', (_name, args, count) => {
  const warnings = listen(...args).warnings.filter((text) => text.includes('serves plain HTTP, as derper'))
  expect(warnings).toHaveLength(count)
})
