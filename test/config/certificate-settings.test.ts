import { readFileSync } from 'node:fs'
import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { createFiles } from '#config/new-files.ts'
import { certificatePin } from '#protocol/self-signed.ts'
import { DAY_MS, goodPair, makePair, writePair } from './certificates.ts'
import { ConfigFixture } from './config-fixture.ts'

function manual(fixture: ConfigFixture, hostname: string): string[] {
  const certdir = ['-certmode', 'manual', '-certdir', fixture.folder.path]
  return ['-c', fixture.keyPath, '-a', '127.0.0.1:3443', '-hostname', hostname, ...certdir]
}

test('reports one missing file, even for an IP address', () => {
  using fixture = new ConfigFixture()
  fixture.folder.write('192.0.2.7.crt', goodPair('192.0.2.7').certificate)
  expect(fixture.problems(manual(fixture, '192.0.2.7'))).toEqual([
    `-certdir: ${fixture.folder.at('192.0.2.7.key')} does not exist; expected a certificate and its key as PEM files`,
  ])
})

test('names the file that has the fault', () => {
  using fixture = new ConfigFixture()
  const nowMs = fixture.host.nowMs
  const old = makePair(['b.example'], nowMs - 2 * DAY_MS, nowMs - DAY_MS)
  writePair(fixture.folder, 'a.example', { ...old, key: goodPair('x').key })
  expect(fixture.problems(manual(fixture, 'a.example'))).toEqual([
    expect.stringMatching(/\/a\.example\.key: does not match the certificate; expected the private key/),
    expect.stringMatching(
      /\/a\.example\.crt: expired on \d{4}-\d\d-\d\d \d\d:\d\d UTC; expected a certificate that is valid now/,
    ),
    expect.stringMatching(/\/a\.example\.crt: is for DNS:b\.example; expected a certificate for a\.example/),
  ])
})

test.each(['192.0.2.7', '2001:db8::7'])(
  'plans a certificate for %s, and prints the node with its pin',
  (hostname) => {
    using fixture = new ConfigFixture()
    const args = [...manual(fixture, hostname), '-stun-port', '3479']
    const { newFiles, settings } = fixture.plan(args)
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
    // The second start finds the files and prints the same.
    const again = fixture.plan(args)
    expect([again.newFiles, again.settings.warnings]).toEqual([[], settings.warnings])
  },
)

test("warns in the last tenth of a certificate's life", () => {
  using fixture = new ConfigFixture()
  const nowMs = fixture.host.nowMs
  writePair(fixture.folder, 'a.example', makePair(['a.example'], nowMs - 95 * DAY_MS, nowMs + 5 * DAY_MS))
  expect(fixture.settings(manual(fixture, 'a.example')).warnings).toEqual([
    expect.stringMatching(/\/a\.example\.crt: expires on \d{4}-/),
    expect.stringContaining('self-signed'),
  ])
})

test('the quick start creates its certificate, keeps it, and renews it when it has expired', () => {
  using fixture = new ConfigFixture()
  const presets = {
    listen: '127.0.0.1:8443',
    hostname: 'localhost',
    certmode: 'manual',
    certdir: fixture.folder.at('state'),
    'key-file': fixture.folder.at('state/derper.key'),
  }
  const first = fixture.plan([], { presets })
  expect(createFiles(first.newFiles)).toBeUndefined()
  const path = fixture.folder.at('state/localhost.crt')
  const read = (): X509Certificate => new X509Certificate(readFileSync(path))
  expect(read().subjectAltName).toBe('DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1')
  expect([first.settings.warnings, fixture.plan([], { presets }).newFiles]).toEqual([[], []])
  const before = read().raw
  const nowMs = fixture.host.nowMs + 366 * DAY_MS
  const later = fixture.plan([], { presets, host: { nowMs } })
  expect(createFiles(later.newFiles)).toBeUndefined()
  expect(read().raw.equals(before)).toBe(false)
  expect(read().validFromDate.getTime()).toBeGreaterThan(fixture.host.nowMs)
  expect(fixture.plan([], { presets, host: { nowMs } }).newFiles).toEqual([])
})

test('the quick start recovers from an interrupted renewal', () => {
  using fixture = new ConfigFixture()
  const certdir = fixture.folder.at('state')
  const nowMs = fixture.host.nowMs
  const expired = makePair(['localhost'], nowMs - 2 * DAY_MS, nowMs - DAY_MS)
  // The key was written, but not the certificate.
  writePair(fixture.folder, 'state/localhost', { ...expired, key: goodPair('localhost').key })
  const presets = { listen: '127.0.0.1:8443', hostname: 'localhost', certmode: 'manual', certdir }
  const plan = { presets, env: { DERPFLEET_KEY_FILE: fixture.keyPath } }
  expect(createFiles(fixture.plan([], plan).newFiles)).toBeUndefined()
  expect(fixture.plan([], plan).newFiles).toEqual([])
})

test("looks in derper's folder if no option names one", () => {
  using fixture = new ConfigFixture()
  const folder = fixture.folder.at('cache/tailscale/derper-certs')
  const args = manual(fixture, 'a.example').slice(0, -2)
  expect(fixture.problems(args)).toEqual([
    `-certdir: ${folder}/a.example.crt does not exist; expected a certificate and its key as PEM files`,
    `-certdir: ${folder}/a.example.key does not exist; expected a certificate and its key as PEM files`,
  ])
})
