// Answers of admission backends, backends' addresses, and leases: a mistake here admits every client, or none.

import { generateKeyPairSync, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { readAllow } from '#admission/allow-response.ts'
import { UrlVerifier } from '#admission/url-verifier.ts'
import { leaseKeyText, leaseText, readLease, type Lease } from '#protocol/lease.ts'
import {
  hostHeader,
  parseWebAddress,
  portOf,
  requestable,
  requestTarget,
  resolveReference,
  shownAddress,
  WebAddressError,
  type WebAddress,
} from '#protocol/web-address.ts'
import { alice } from '../../support/actor.ts'
import { pieces } from '../random.ts'
import { invariant, same, texts, type FuzzTarget } from '../target.ts'

/** The runtime's reading, which is right if no name is repeated and the whole text is one value. */
function naiveAllow(text: string): boolean | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    const fields = Object.entries(value).filter(([name]) => name.toLowerCase() === 'allow')
    return fields.length === 1 && typeof fields[0]?.[1] === 'boolean' ? fields[0][1] : undefined
  } catch {
    return undefined
  }
}

const allowAnswer: FuzzTarget = {
  name: 'allow-answer',
  corpus: texts(
    '{"Allow":true}',
    '{"allow":false}',
    'null',
    '{"a":{"Allow":true},"ALLOW":null} trailing',
    '{"Allow":"true"}',
    '{"Allow":true,"BytesPerSecond":1250000,"PacketsPerSecond":2000}',
  ),
  tokens: [
    '"Allow":',
    '"BytesPerSecond":',
    '1e9',
    'true',
    'false',
    'null',
    '\\"',
    '\\u0041llow',
    '{"',
    '"}',
    ' ',
  ],
  attempt(input) {
    const text = input.toString('utf8')
    const { isAllowed: allowed, budget } = readAllow(text)
    const { bytesPerSecond = Infinity, packetsPerSecond = Infinity } = budget ?? {}
    invariant(bytesPerSecond >= 8_192 && packetsPerSecond >= 1, 'a budget that stops a client')
    // A text without `true` admits no client.
    invariant(allowed !== true || /true/.test(text), 'admitted without true')
    const naive = naiveAllow(text)
    if (naive !== undefined && !/allow[^]*allow/i.test(JSON.stringify(JSON.parse(text)))) {
      same([allowed], [naive], 'the answer')
    }
    return `${allowed} ${naive}`
  },
}

function parsed(text: string): WebAddress | string {
  try {
    return parseWebAddress(text)
  } catch (error) {
    invariant(error instanceof WebAddressError, `a fault of this program: ${String(error)}`)
    invariant(!error.message.includes('secret'), 'a problem that contains a secret')
    return error.message
  }
}

const BASE = parseWebAddress('https://name:secret@h.example:8443/a/b?c')

const webAddress: FuzzTarget = {
  name: 'web-address',
  corpus: texts(
    'https://headscale.example/verify',
    'http://u:secret@[fe80::1%25eth0]:8080/a/../b?c=d#e',
    '//other/x',
    '../y?z',
    'HTTP://b\u00fccher.example:/',
  ),
  tokens: ['http://', 'https://', '@', ':', '/', '%25', '%2f', '[::1]', '?', '#', '..', '//', 'secret'],
  attempt(input) {
    const text = input.toString('utf8')
    const address = parsed(text)
    if (typeof address === 'string') return address
    for (const [part, value] of Object.entries({
      host: hostHeader(address),
      target: requestTarget(address),
    })) {
      invariant(!/[\r\n\0]/.test(value), `a ${part} that ends its line: ${JSON.stringify(value)}`)
    }
    // The server splits the request line at spaces.
    invariant(!requestTarget(address).includes(' '), 'a target of two words')
    shownAddress(address)
    let end = 'requestable'
    try {
      requestable(address)
      invariant(portOf(address) >= 0, 'no port')
    } catch (error) {
      invariant(error instanceof WebAddressError, `a fault of this program: ${String(error)}`)
      end = error.message
    }
    resolveReference(BASE, text)
    return `${end} ${address.userinfo === undefined} ${address.hostname.length > 0} ${address.query === undefined}`
  },
}

let server: Server | undefined
let verifier: UrlVerifier | undefined
let answer: Buffer = Buffer.alloc(0)
let cuts: readonly number[] = []

const verifyAnswer: FuzzTarget = {
  name: 'verify-answer',
  waits: true,
  corpus: texts(
    'HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{"Allow":true}',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ne\r\n{"Allow":true}\r\n0\r\n\r\n',
    'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n',
    'HTTP/1.0 200 OK\r\n\r\n{"Allow":false}',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
  ),
  tokens: [
    'HTTP/1.1 ',
    '200',
    '101',
    '500',
    'Content-Length: ',
    'Content-Encoding: gzip',
    '\r\n\r\n',
    '{"Allow":true}',
  ],
  async open() {
    server = createServer((socket) => {
      socket.on('error', () => socket.destroy())
      socket.once('data', () => {
        for (const piece of pieces(answer, cuts)) socket.write(piece)
        socket.end()
      })
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    verifier = new UrlVerifier(`http://127.0.0.1:${(server.address() as AddressInfo).port}/verify`, {})
  },
  async close() {
    verifier?.close()
    server?.close()
  },
  async attempt(input, random) {
    answer = input
    cuts = random.cuts(input.length)
    const request = { key: alice.key, source: '192.0.2.1' }
    const result = await verifier?.verify(request, new AbortController().signal)
    const { kind, reason } = result ?? { kind: 'none', reason: '' }
    invariant(kind !== 'fault', `a fault of this program: ${reason}`)
    invariant(kind !== 'allowed' || input.includes('true'), 'admitted without true')
    return `${kind} ${reason.replaceAll(/["'][^]*["']|\d+/g, '_').slice(-40)}`
  },
}

const SIGNER = generateKeyPairSync('ed25519').privateKey
const SIGNER_TEXT = leaseKeyText(SIGNER)

const lease: FuzzTarget = {
  name: 'lease',
  corpus: texts(
    `derpfleet lease 1\nserial 7\nnot-before 2026-11-27T14:00:00Z\nnot-after 2026-12-04T14:00:00Z\nallow nodekey:${'aa'.repeat(32)} tenant blue until 2026-12-01T00:00:00Z name a\ndeny nodekey:${'bb'.repeat(32)}\n`,
    'derpfleet lease 1\nserial 0\nnot-after 2026-12-04T14:00:00Z\nlater x\nnot-before 2026-11-27T14:00:00Z\n',
  ),
  tokens: [
    'allow nodekey:',
    'deny ',
    ' until ',
    'not-after ',
    'serial ',
    ' tenant ',
    '2026-12-04T14:00:00Z',
    '\n',
    'signature ',
  ],
  attempt(input) {
    const text = input.toString('utf8')
    invariant('problem' in readLease(text, [SIGNER_TEXT]), 'a lease that nobody has signed')
    const signature = sign(null, Buffer.from(text), SIGNER).toString('base64')
    const read = readLease(`${text}signature ${signature}\n`, [SIGNER_TEXT])
    if ('problem' in read) return read.problem.replaceAll(/"[^]*"|\d+/g, '_').slice(0, 60)
    const { entries, ...fields } = read.lease
    // Entries are in another order, and what is not known is left out.
    const content = { ...fields, entries: [...entries.values()] }
    const again = readLease(leaseText(content, SIGNER), [SIGNER_TEXT])
    invariant('lease' in again, 'a lease that cannot be written')
    const sorted = ({ entries: all, serial, notBeforeMs, notAfterMs }: Lease): unknown => [
      [serial, notBeforeMs, notAfterMs],
      [...all].toSorted(([a], [b]) => (a < b ? -1 : 1)),
    ]
    same(sorted(again.lease), sorted(read.lease), 'the lease')
    return `${entries.size} ${fields.serial > 0}`
  },
}

export const ADMISSION_TARGETS: readonly FuzzTarget[] = [allowAnswer, webAddress, verifyAnswer, lease]
