import { expect, test } from 'vitest'
import {
  certificateFilesIn,
  readAuthoritiesFile,
  readCertificateFile,
  readCertificateFiles,
} from '#config/certificate-files.ts'
import { goodPair, writePair } from './certificates.ts'
import { TemporaryFolder } from './temporary-folder.ts'

test('names the files as derper does', () => {
  expect(certificateFilesIn('/d', '2001:db8::1')).toEqual({
    certificatePath: '/d/2001db81.crt',
    keyPath: '/d/2001db81.key',
  })
})

test('reads a certificate and its key', () => {
  using folder = new TemporaryFolder()
  const pair = goodPair('a.example')
  writePair(folder, 'a.example', pair)
  const files = certificateFilesIn(folder.path, 'a.example')
  expect(readCertificateFiles(files)).toEqual({ pem: pair })
  expect(readCertificateFile(files.certificatePath)).toMatchObject({ text: pair.certificate })
})

test('names every file that it cannot read, and whether both are missing', () => {
  using folder = new TemporaryFolder()
  const files = certificateFilesIn(folder.path, 'a.example')
  const [certificate, key] = [files.certificatePath, files.keyPath].map((path) => ({
    path,
    reason: 'does not exist',
  }))
  expect(readCertificateFiles(files)).toEqual({ areBothMissing: true, unread: [certificate, key] })
  folder.write('a.example.crt', goodPair('a.example').certificate)
  expect(readCertificateFiles(files)).toEqual({ areBothMissing: false, unread: [key] })
  expect(readCertificateFiles({ ...files, keyPath: folder.path })).toEqual({
    areBothMissing: false,
    unread: [{ path: folder.path, reason: 'is a folder' }],
  })
  expect(readCertificateFiles({ ...files, keyPath: '/dev/zero' })).toEqual({
    areBothMissing: false,
    unread: [{ path: '/dev/zero', reason: 'has more than 4194304 bytes' }],
  })
})

test('reads authorities only if every certificate in the file can be parsed', () => {
  using folder = new TemporaryFolder()
  const pem = `${goodPair('a.example').certificate}# and another\n${goodPair('b.example').certificate}`
  expect(readAuthoritiesFile(folder.write('ca.pem', pem))).toEqual({ pem })
  const empty = folder.write('empty.pem', 'nothing')
  expect(readAuthoritiesFile(empty)).toEqual({ found: `${empty} contains no certificate` })
  const half = folder.write('half.pem', pem.replace(/.{40}\n-----END CERTIFICATE-----\n$/, '\n'))
  expect(readAuthoritiesFile(half)).toEqual({ found: `certificate 2 in ${half} is damaged` })
  const missing = folder.at('none.pem')
  expect(readAuthoritiesFile(missing)).toEqual({ found: `${missing} does not exist` })
})
