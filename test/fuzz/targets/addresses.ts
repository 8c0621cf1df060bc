// Keys, addresses, certificates, TLS hellos and STUN.

import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { isIP, isIPv6 } from 'node:net'
import { metaKeyOf } from '#client/tls-verification.ts'
import { der } from '#protocol/der.ts'
import { ipToBytes, ipToText, isMappedIpv4, unmapped } from '#protocol/ip-address.ts'
import { formatKeyFile, parseKeyFile, parseMeshKeys } from '#protocol/key-file.ts'
import { metaCertificate, readMetaKey } from '#protocol/meta-certificate.ts'
import {
  parsePrivateKey,
  parsePublicKey,
  parseUntypedKey,
  privateKeyText,
  publicKeyText,
} from '#protocol/node-key.ts'
import { certificatePem, selfSignedCertificate } from '#protocol/self-signed.ts'
import { helloState, readHello } from '#protocol/tls-hello.ts'
import {
  bindingRequest,
  isBindingRequest,
  isStun,
  readBindingAnswer,
  writeBindingAnswer,
} from '#protocol/stun.ts'
import * as keys from '../../vectors/keys.ts'
import * as stun from '../../vectors/stun.ts'
import { goClient, opensslValidation } from '../../vectors/tls-hello.ts'
import { magnitude, invariant, same, texts, type FuzzTarget } from '../target.ts'

const stunRequest: FuzzTarget = {
  name: 'stun-request',
  corpus: [
    stun.request,
    stun.rfc5769.request,
    ...Object.values(stun.ignoredRequests),
    bindingRequest(new Uint8Array(12)),
  ],
  attempt(input, random) {
    if (!isBindingRequest(input)) return `${isStun(input)} ${magnitude(input.length)}`
    const [ip, port] = [random.chance(2) ? ipToBytes('192.0.2.1') : random.bytes(16), random.below(65_536)]
    const out = new Uint8Array(44)
    const length = writeBindingAnswer(out, input, ip, port)
    invariant(length <= input.length + 4, `${length} bytes answered to ${input.length}`)
    const answer = readBindingAnswer(out.subarray(0, length))
    same(
      answer,
      { transactionId: new Uint8Array(input.subarray(8, 20)), ip: new Uint8Array(ip), port },
      'the response',
    )
    return `answered ${magnitude(input.length)}`
  },
}

const answers = [...Object.values(stun.answers), stun.rfc5769.ipv4, stun.rfc5769.ipv6].map(
  ({ message }) => message,
)
const stunAnswer: FuzzTarget = {
  name: 'stun-answer',
  corpus: answers,
  attempt(input) {
    const answer = readBindingAnswer(input)
    if (answer === undefined) return `${isStun(input)}`
    invariant(answer.ip.length === 16 && answer.transactionId.length === 12, 'a truncated answer')
    invariant(answer.port >= 0 && answer.port <= 65_535, `port ${answer.port}`)
    const out = new Uint8Array(44)
    const request = bindingRequest(answer.transactionId)
    const length = writeBindingAnswer(out, request, answer.ip, answer.port)
    same(readBindingAnswer(out.subarray(0, length)), answer, 'the response')
    return `${isMappedIpv4(answer.ip)} ${magnitude(input.length)}`
  },
}

/** Bytes after their length, a number of two bytes. */
function counted(...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([content.length >> 8, content.length & 255]), content])
}

/** A hello with a server name and the offer of a validation, in records of so many bytes. */
function acmeHello(recordBytes: number): Buffer {
  const serverName = counted(Buffer.of(0), counted(Buffer.from('a.example')))
  const extensions = counted(
    Buffer.of(0, 0),
    counted(serverName),
    Buffer.of(0, 16),
    counted(counted(Buffer.from('\x0aacme-tls/1', 'latin1'))),
  )
  const start = [Buffer.of(3, 3), Buffer.alloc(32), Buffer.of(0, 0, 2, 0x13, 1, 1, 0)]
  const message = Buffer.concat([Buffer.of(1, 0), counted(...start, extensions)])
  const records: Buffer[] = []
  for (let at = 0; at < message.length; at += recordBytes) {
    records.push(Buffer.of(22, 3, 1), counted(message.subarray(at, at + recordBytes)))
  }
  return Buffer.concat(records)
}

const tlsHello: FuzzTarget = {
  name: 'tls-hello',
  corpus: [acmeHello(200), acmeHello(3), acmeHello(200).subarray(0, 60), goClient, opensslValidation],
  tokens: ['acme-tls/1', '\x16\x03\x01', '\x01\x00'],
  attempt(input, random) {
    if (input.length === 0) return 'nothing'
    const state = helloState(input)
    const shorter = 1 + random.below(input.length)
    const earlier = helloState(input.subarray(0, shorter))
    // What was decided once stays decided.
    if (earlier !== 'partial') same(earlier, state, `the state after ${shorter} bytes`)
    const { serverName = '', isAcmeValidation } = readHello(input)
    invariant(/^[!-~]{0,255}$/.test(serverName) && serverName === serverName.toLowerCase(), serverName)
    return `${state} ${isAcmeValidation} ${magnitude(serverName.length)}`
  },
}

const ipAddress: FuzzTarget = {
  name: 'ip-address',
  corpus: texts(
    '192.0.2.1',
    '2001:db8::7',
    '::ffff:192.0.2.1',
    'fe80::1%eth0',
    '::',
    '1:2:3:4:5:6:7:8',
    '64:ff9b::192.0.2.1',
  ),
  tokens: ['::', ':', '.', 'ffff', '%', '0', '255', '256'],
  attempt(input) {
    const text = input.toString('latin1')
    const bytes = ipToBytes(text)
    invariant(bytes.length === 16, 'not sixteen bytes')
    same(ipToBytes(ipToText(bytes)), bytes, `the text of ${ipToText(bytes)}`)
    const bare = text.split('%')[0] ?? ''
    if (isIPv6(bare) && !isMappedIpv4(bytes)) {
      const canonical = URL.parse(`http://[${bare}]`)?.hostname ?? ''
      same(`[${ipToText(bytes) === '' ? '::' : ipToText(bytes)}]`, canonical, `the form of ${bare}`)
    }
    const raw = Buffer.alloc(16)
    input.copy(raw)
    same(Buffer.from(ipToBytes(ipToText(raw))), raw, 'sixteen bytes')
    unmapped(text)
    return `${isIP(text)} ${isIP(bare)} ${isMappedIpv4(bytes)} ${ipToText(bytes).length}`
  },
}

const nodeKey: FuzzTarget = {
  name: 'node-key',
  corpus: texts(
    publicKeyText(keys.clientA.publicKey),
    privateKeyText(keys.clientA.privateKey),
    'AB'.repeat(32),
    'nodekey:' + '0'.repeat(64),
  ),
  tokens: ['nodekey:', 'privkey:', 'derpkey', '0'.repeat(64)],
  attempt(input) {
    const text = input.toString('latin1')
    const [open, secret, bare] = [parsePublicKey(text), parsePrivateKey(text), parseUntypedKey(text)]
    if (open !== undefined) same(publicKeyText(open).toLowerCase(), text.toLowerCase(), 'a public key')
    if (secret !== undefined) same(privateKeyText(secret).toLowerCase(), text.toLowerCase(), 'a private key')
    const meta = readMetaKey(text, text.slice(-4))
    invariant(
      meta === undefined || (meta.publicKey.length === 32 && meta.version <= 255),
      'an invalid meta key',
    )
    return [open, secret, bare, meta].map((key) => key === undefined).join()
  },
}

const keyFile: FuzzTarget = {
  name: 'key-file',
  corpus: texts(
    formatKeyFile(keys.server),
    privateKeyText(keys.server.privateKey),
    `# keys\n${'ab'.repeat(32)}\n\n  ${'CD'.repeat(32)}  \n`,
    '{"PRIVATEKEY":1,"privateKey":"privkey:00"}',
  ),
  tokens: ['"PrivateKey":', 'privkey:', '#', 'ab'.repeat(32), '0'.repeat(64)],
  attempt(input) {
    const text = input.toString('utf8')
    const pair = parseKeyFile(text)
    if ('value' in pair) same(parseKeyFile(formatKeyFile(pair.value)), pair, 'a key file')
    else invariant(!/[0-9a-f]{64}/i.test(pair.problem), 'a problem that contains a key')
    const mesh = parseMeshKeys(text)
    if ('value' in mesh) {
      same(
        parseMeshKeys(mesh.value.map((key) => Buffer.from(key).toString('hex')).join('\n')),
        mesh,
        'mesh keys',
      )
    } else invariant(!/[0-9a-f]{64}/i.test(mesh.problem), 'a problem that contains a key')
    return [pair, mesh]
      .map((read) => ('value' in read ? 'read' : read.problem.replaceAll(/\d+/g, 'N')))
      .join('; ')
  },
}

const meta = Buffer.from(
  metaCertificate(keys.server.publicKey, new Uint8Array(32).fill(3), Date.UTC(2026, 0)),
)
const signer = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
const selfSigned = selfSignedCertificate({
  names: ['localhost', '127.0.0.1'],
  key: signer,
  serial: new Uint8Array(16).fill(1),
  fromMs: 0,
  untilMs: 1e12,
})

/** Meta certificates, as a client gets them from TLS: any certificate that OpenSSL reads. */
const certificate: FuzzTarget = {
  name: 'meta-certificate',
  corpus: [meta, Buffer.from(selfSigned)],
  tokens: ['derpkey', 'derpkey' + '11'.repeat(32), '\x02\x01\x02'],
  attempt(input) {
    let read: X509Certificate
    try {
      read = new X509Certificate(input)
    } catch {
      return 'no certificate'
    }
    const key = metaKeyOf([new X509Certificate(selfSigned), read])
    invariant(key === undefined || key.length === 32, 'a truncated key')
    return `${key === undefined} ${magnitude(read.subject?.length ?? 0)}`
  },
}

/** Elements of any length, and certificates for any name, are read as they were written. */
const derWriter: FuzzTarget = {
  name: 'der',
  corpus: [
    Buffer.alloc(127),
    Buffer.alloc(128),
    Buffer.alloc(255),
    Buffer.alloc(256),
    Buffer.from('localhost'),
    meta,
  ],
  attempt(input, random) {
    const content = input.subarray(0, 65_535)
    const element = Buffer.from(der(0x30, content))
    const lengthBytes = (element[1] ?? 0) < 0x80 ? 0 : (element[1] ?? 0) & 0x7f
    const length = lengthBytes === 0 ? (element[1] ?? 0) : element.readUIntBE(2, lengthBytes)
    same(length, content.length, 'the length of an element')
    invariant(content.equals(element.subarray(2 + lengthBytes)), 'the content of an element')
    if (!random.chance(200)) return magnitude(content.length)
    const name = `${input
      .toString('latin1')
      .replaceAll(/[^a-z0-9.-]/gi, '')
      .slice(0, 60)}a`
    const fromMs = random.below(2 ** 31) * 1_000
    const parts = { names: [name], key: signer, serial: random.bytes(16), fromMs, untilMs: fromMs + 1e9 }
    const made = new X509Certificate(certificatePem(selfSignedCertificate(parts)))
    invariant(
      made.subjectAltName?.includes(name) === true,
      `a certificate for ${name} is for ${made.subjectAltName}`,
    )
    return `certificate ${magnitude(name.length)}`
  },
}

export const ADDRESS_TARGETS: readonly FuzzTarget[] = [
  stunRequest,
  stunAnswer,
  ipAddress,
  tlsHello,
  nodeKey,
  keyFile,
  certificate,
  derWriter,
]
