import { readFileSync } from 'node:fs'
import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { createFiles } from '#config/new-files.ts'
import { certificatePin } from '#protocol/self-signed.ts'
import { DAY_MS, goodPair, makePair, writePair } from './certificates.ts'
import { Operator } from './config-fixture.ts'

function manual(operator: Operator, hostname: string): string[] {
  const certdir = ['-certmode', 'manual', '-certdir', operator.folder.path]
  return ['-c', operator.keyPath, '-a', '127.0.0.1:3443', '-hostname', hostname, ...certdir]
}

test.each([
  ['letsencrypt', ['-a', '127.0.0.1:443', '-certmode', 'letsencrypt']],
  ['gcp', ['-a', '127.0.0.1:443', '-certmode', 'gcp']],
])('does not start where TLS would need -certmode %s', (mode, args) => {
  using operator = new Operator()
  expect(operator.problems(['-c', operator.keyPath, '-hostname', 'a.example', ...args])).toEqual([
    `-certmode: "${mode}" is not supported: the relay does not request certificates; ` +
      'expected manual, with a.example.crt and a.example.key in -certdir, from any ACME client',
  ])
  expect(
    operator.settings(['-c', operator.keyPath, '-a', '127.0.0.1:3340', '-certmode', mode]).certificate,
  ).toBe(undefined)
})

test('complains of one missing file, even for an IP address', () => {
  using operator = new Operator()
  operator.folder.write('192.0.2.7.crt', goodPair('192.0.2.7').certificate)
  expect(operator.problems(manual(operator, '192.0.2.7'))).toEqual([
    `-certdir: ${operator.folder.at('192.0.2.7.key')} does not exist; expected a certificate and its key as PEM files`,
  ])
})

test('points to the file that is at fault', () => {
  using operator = new Operator()
  const nowMs = operator.host.nowMs
  const old = makePair(['b.example'], nowMs - 2 * DAY_MS, nowMs - DAY_MS)
  writePair(operator.folder, 'a.example', { ...old, key: goodPair('x').key })
  expect(operator.problems(manual(operator, 'a.example'))).toEqual([
    expect.stringMatching(/\/a\.example\.key: does not match the certificate; expected the private key/),
    expect.stringMatching(
      /\/a\.example\.crt: expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC; expected a certificate that is valid now/,
    ),
    expect.stringMatching(/\/a\.example\.crt: is for DNS:b\.example; expected a certificate for a\.example/),
  ])
})

test.each(['192.0.2.7', '2001:db8::7'])(
  'plans a certificate for %s, and says how clients take it',
  (hostname) => {
    using operator = new Operator()
    const args = [...manual(operator, hostname), '-stun-port', '3479']
    const { newFiles, settings } = operator.plan(args)
    expect(createFiles(newFiles)).toBeUndefined()
    const certificate = new X509Certificate(readFileSync(settings.certificate?.certificatePath ?? ''))
    expect(certificate.checkIP(hostname)).toBe(hostname)
    expect(certificate.validToDate.getTime() - certificate.validFromDate.getTime()).toBe(365 * DAY_MS)
    const node = {
      Name: 'custom',
      RegionID: 900,
      HostName: hostname,
      CertName: certificatePin(certificate.raw),
      STUNPort: 3479,
      DERPPort: 3443,
    }
    const warning = `the certificate for ${hostname} is self-signed; clients accept it only with this node in their DERP map: `
    expect(settings.warnings).toEqual([warning + JSON.stringify(node)])
    // The second start finds the pair, and says the same.
    const again = operator.plan(args)
    expect([again.newFiles, again.settings.warnings]).toEqual([[], settings.warnings])
  },
)

test('warns in the last tenth of a life', () => {
  using operator = new Operator()
  const nowMs = operator.host.nowMs
  writePair(operator.folder, 'a.example', makePair(['a.example'], nowMs - 95 * DAY_MS, nowMs + 5 * DAY_MS))
  expect(operator.settings(manual(operator, 'a.example')).warnings).toEqual([
    expect.stringMatching(/\/a\.example\.crt: expires on \d{4}-/),
    expect.stringContaining('self-signed'),
  ])
})

test('the quick start makes its certificate, keeps it, and renews it when it has expired', () => {
  using operator = new Operator()
  const presets = {
    listen: '127.0.0.1:8443',
    hostname: 'localhost',
    certmode: 'manual',
    certdir: operator.folder.at('state'),
    'key-file': operator.folder.at('state/derper.key'),
  }
  const first = operator.plan([], { presets })
  expect(createFiles(first.newFiles)).toBeUndefined()
  const path = operator.folder.at('state/localhost.crt')
  const read = (): X509Certificate => new X509Certificate(readFileSync(path))
  expect(read().subjectAltName).toBe('DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1')
  expect([first.settings.warnings, operator.plan([], { presets }).newFiles]).toEqual([[], []])
  const before = read().raw
  const nowMs = operator.host.nowMs + 366 * DAY_MS
  const later = operator.plan([], { presets, host: { nowMs } })
  expect(createFiles(later.newFiles)).toBeUndefined()
  expect(read().raw.equals(before)).toBe(false)
  expect(read().validFromDate.getTime()).toBeGreaterThan(operator.host.nowMs)
  expect(operator.plan([], { presets, host: { nowMs } }).newFiles).toEqual([])
})

test('the quick start recovers from a renewal that was cut short', () => {
  using operator = new Operator()
  const certdir = operator.folder.at('state')
  const nowMs = operator.host.nowMs
  const expired = makePair(['localhost'], nowMs - 2 * DAY_MS, nowMs - DAY_MS)
  // The key was written, its certificate was not.
  writePair(operator.folder, 'state/localhost', { ...expired, key: goodPair('localhost').key })
  const presets = { listen: '127.0.0.1:8443', hostname: 'localhost', certmode: 'manual', certdir }
  const plan = { presets, env: { DERPFLEET_KEY_FILE: operator.keyPath } }
  expect(createFiles(operator.plan([], plan).newFiles)).toBeUndefined()
  expect(operator.plan([], plan).newFiles).toEqual([])
})

test("looks in derper's folder if no option names one", () => {
  using operator = new Operator()
  const folder = operator.folder.at('cache/tailscale/derper-certs')
  const args = manual(operator, 'a.example').slice(0, -2)
  expect(operator.problems(args)).toEqual([
    `-certdir: ${folder}/a.example.crt does not exist; expected a certificate and its key as PEM files`,
    `-certdir: ${folder}/a.example.key does not exist; expected a certificate and its key as PEM files`,
  ])
})
