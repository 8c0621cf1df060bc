// derper's certificate folder: files as Go's autocert and OpenSSL write them are read, what is written is read by derper itself,
// and a disk that is full or read-only leaves the old files.

import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { CertificateStore } from '#certificates/certificate-store.ts'
import { StoreError } from '#certificates/stored-file.ts'
import { goodPair } from '../config/certificates.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { fingerprintOf, presentedAt } from '../support/certificate-files.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { runOk, runProcess, startProcess } from '../support/process.ts'

const derper = await foreignPrograms('derper-1.104.5')

function store(): { store: CertificateStore; folder: TemporaryFolder } {
  const folder = new TemporaryFolder()
  onTestFinished(() => folder[Symbol.dispose]())
  return { store: new CertificateStore(join(folder.path, 'certs')), folder }
}

/** Whether key and certificate belong together. */
function isPair(pem: { certificate: string; key: string } | undefined): boolean {
  return pem !== undefined && new X509Certificate(pem.certificate).checkPrivateKey(createPrivateKey(pem.key))
}

const KEYS = {
  'EC PRIVATE KEY': ['ecparam', '-name', 'prime256v1', '-genkey', '-noout'],
  'RSA PRIVATE KEY': ['genrsa', '-traditional', '2048'],
  'PRIVATE KEY': ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
} as const

it.each(Object.entries(KEYS))('reads a file with a key of OpenSSL, %s', async (label, command) => {
  const { store: certificates, folder } = store()
  const key = await runOk('openssl', [...command])
  expect(key).toContain(`-----BEGIN ${label}-----`)
  folder.write('key', key)
  const request = ['req', '-x509', '-key', folder.at('key'), '-days', '9', '-subj', '/CN=a.example']
  const leaf = await runOk('openssl', request)
  const issuer = goodPair('issuer').certificate
  const name = label.startsWith('RSA') ? 'a.example+rsa' : 'a.example'
  folder.write(`certs/${name}`, key + leaf + issuer)
  const pem = await certificates.read('A.example')
  expect(isPair(pem)).toBe(true)
  expect(pem?.certificate.match(/BEGIN CERTIFICATE/g)).toHaveLength(2)
})

it('goes by the content of a key whose label names another form, as Go does', async () => {
  const { store: certificates, folder } = store()
  const { certificate, key } = goodPair('a.example')
  folder.write('certs/a.example', key.replaceAll('PRIVATE', 'EC PRIVATE') + certificate)
  expect(isPair(await certificates.read('a.example'))).toBe(true)
})

it('writes what autocert writes, for its owner alone, and reads it again', async () => {
  const { store: certificates, folder } = store()
  const pem = goodPair('a.example')
  await certificates.write('a.example', pem)
  const text = readFileSync(folder.at('certs/a.example'), 'utf8')
  expect(text).toMatch(
    /^-----BEGIN EC PRIVATE KEY-----\n[^-]+-----END EC PRIVATE KEY-----\n-----BEGIN CERTIFICATE-----\n/,
  )
  expect(statSync(folder.at('certs/a.example')).mode & 0o777).toBe(0o600)
  expect(statSync(folder.at('certs')).mode & 0o777).toBe(0o700)
  expect(readdirSync(folder.at('certs'))).toEqual(['a.example'])
  expect(fingerprintOf((await certificates.read('a.example'))?.certificate ?? '')).toBe(
    fingerprintOf(pem.certificate),
  )
})

it.each([
  ['192.0.2.7', '192.0.2.7'],
  ['2001:0db8::0007', '2001.db8..7'],
])('keeps the certificate of %s in two files, as derper does', async (address, base) => {
  const { store: certificates, folder } = store()
  await certificates.write(address, goodPair(address))
  expect(readdirSync(folder.at('certs')).sort()).toEqual([`${base}.crt`, `${base}.key`])
  expect(statSync(folder.at(`certs/${base}.key`)).mode & 0o777).toBe(0o600)
  expect(isPair(await certificates.read(address))).toBe(true)
})

it('has nothing where there is nothing, and says what cannot be used', async () => {
  const { store: certificates, folder } = store()
  expect(await certificates.read('a.example')).toBeUndefined()
  expect(await certificates.read('192.0.2.7')).toBeUndefined()
  const { certificate, key } = goodPair('a.example')
  for (const [text, problem] of [
    [certificate, /no readable private key/],
    [key, /no certificate/],
    [key + certificate + certificate.slice(0, 200), /damaged certificate 2/],
    ['', /no readable private key/],
  ] as const) {
    folder.write('certs/a.example', text)
    await expect(certificates.read('a.example')).rejects.toThrow(problem)
  }
  mkdirSync(folder.at('certs/b.example'))
  await expect(certificates.read('b.example')).rejects.toThrow(StoreError)
  for (const name of ['../a.example', '.hidden', 'a/b', '']) {
    await expect(certificates.read(name)).rejects.toThrow(StoreError)
  }
})

const canMount = (await runProcess('unshare', ['--mount', 'true']).catch(() => ({ code: 1 }))).code === 0
if (!canMount) process.stderr.write('SKIPPING a test of full disks: it needs root and unshare\n')

it.skipIf(!canMount)('a full or read-only disk leaves the old files, and is named', async () => {
  const { folder } = store()
  const script = `
    import { CertificateStore } from '${new URL('../../src/certificates/certificate-store.ts', import.meta.url).href}'
    import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
    import { execSync } from 'node:child_process'
    const at = process.argv[1]
    const pem = JSON.parse(readFileSync(0, 'utf8'))
    execSync('mount -t tmpfs -o size=64k tmpfs ' + at)
    const store = new CertificateStore(at)
    await store.write('a.example', pem)
    const before = readFileSync(at + '/a.example', 'utf8')
    try { writeFileSync(at + '/filler', Buffer.alloc(100_000)) } catch {}
    const full = await store.write('a.example', pem).then(() => 'written', (error) => error.message)
    const lease = await store.lease('a.example')
    await lease.release()
    execSync('mount -o remount,ro ' + at)
    const readOnly = await store.write('a.example', pem).then(() => 'written', (error) => error.message)
    const isSame = readFileSync(at + '/a.example', 'utf8') === before
    console.log(JSON.stringify({ full, readOnly, isSame, files: readdirSync(at).sort(), refresh: await lease.refresh() }))`
  const input = folder.write('pem', JSON.stringify(goodPair('a.example')))
  mkdirSync(folder.at('disk'))
  const command = `${process.execPath} --input-type=module -e "$SCRIPT" ${folder.at('disk')} < ${input}`
  const output = await runOk('unshare', ['--mount', 'sh', '-c', command], {
    env: { SCRIPT: script, NODE_OPTIONS: '' },
    cwd: join(import.meta.dirname, '../..'),
  })
  expect(JSON.parse(output)).toEqual({
    full: expect.stringContaining('a.example cannot be written: it is on a full file system'),
    readOnly: expect.stringContaining('a.example cannot be written: it is on a read-only file system'),
    isSame: true,
    files: ['a.example', 'filler'],
    refresh: true,
  })
})

it.skipIf('missing' in derper || process.getuid?.() !== 0)(
  'derper serves what is written here, without an order',
  async () => {
    if ('missing' in derper) return
    const { store: certificates, folder } = store()
    // autocert keeps no certificate that an authority would not issue: its names need a dot.
    const pem = goodPair('a.example')
    await certificates.write('a.example', pem)
    const place = ['-c', folder.at('key.json'), '-certdir', certificates.folder, '-hostname', 'a.example']
    // derper does ACME on port 443 alone. A loopback address of its own keeps it apart from other runs.
    const host = ['127', ...randomBytes(3).map((byte) => 1 + (byte % 250))].join('.')
    const listen = ['-a', `${host}:443`, '-http-port', '-1', '-stun=false', '-certmode', 'letsencrypt']
    await using running = await startProcess(derper.paths['derper-1.104.5'], [...place, ...listen], {
      readyWhen: async () => (await presentedAt(443, host, 'a.example')) !== '',
    })
    expect(await presentedAt(443, host, 'a.example')).toBe(fingerprintOf(pem.certificate))
    expect(running.exit).toBeUndefined()
  },
)

it('a reader never sees a part of a file while another relay writes it', async () => {
  const { store: certificates } = store()
  const pairs = [goodPair('a.example'), goodPair('a.example')]
  await certificates.write('a.example', pairs[0] as (typeof pairs)[0])
  let isWriting = true
  const writing = (async () => {
    for (let i = 0; i < 60; i++) await certificates.write('a.example', pairs[i % 2] as (typeof pairs)[0])
    isWriting = false
  })()
  while (isWriting) expect(isPair(await certificates.read('a.example'))).toBe(true)
  await writing
})

it('an unreadable file of another user is named', async () => {
  if (process.getuid?.() === 0) return
  const { store: certificates, folder } = store()
  writeFileSync(folder.write('certs/a.example', 'x'), 'x')
  chmodSync(folder.at('certs/a.example'), 0)
  await expect(certificates.read('a.example')).rejects.toThrow(/is not accessible/)
  expect(existsSync(folder.at('certs/a.example'))).toBe(true)
})
