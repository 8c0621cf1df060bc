// Responses of admission backends, and the backends' addresses: a mistake here admits all clients or none.

import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { readAllow } from '#admission/allow-response.ts'
import { UrlVerifier } from '#admission/url-verifier.ts'
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
import { promise, same, texts, type Subject } from '../target.ts'

/** The result by the runtime's JSON parser, for texts that are one value without duplicate names. */
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

const allowAnswer: Subject = {
  name: 'allow-answer',
  corpus: texts(
    '{"Allow":true}',
    '{"allow":false}',
    'null',
    '{"a":{"Allow":true},"ALLOW":null} trailing',
    '{"Allow":"true"}',
  ),
  tokens: ['"Allow":', 'true', 'false', 'null', '\\"', '\\u0041llow', '{"', '"}', ' '],
  attempt(input) {
    const text = input.toString('utf8')
    const allowed = readAllow(text)
    // A text without `true` never admits.
    promise(allowed !== true || /true/.test(text), 'admitted without true')
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
    promise(error instanceof WebAddressError, `an error of our own: ${String(error)}`)
    promise(!error.message.includes('secret'), 'an error that contains a secret')
    return error.message
  }
}

const BASE = parseWebAddress('https://name:secret@h.example:8443/a/b?c')

const webAddress: Subject = {
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
    for (const [what, written] of Object.entries({
      host: hostHeader(address),
      target: requestTarget(address),
    })) {
      promise(!/[\r\n\0]/.test(written), `a ${what} with a line end: ${JSON.stringify(written)}`)
    }
    // A target with a space would be two words of the request line.
    promise(!requestTarget(address).includes(' '), 'a target with a space')
    shownAddress(address)
    let end = 'requestable'
    try {
      requestable(address)
      promise(portOf(address) >= 0, 'no port')
    } catch (error) {
      promise(error instanceof WebAddressError, `an error of our own: ${String(error)}`)
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

const verifyAnswer: Subject = {
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
    const applicant = { key: alice.key, source: '192.0.2.1' }
    const verdict = await verifier?.verify(applicant, new AbortController().signal)
    const { kind, reason } = verdict ?? { kind: 'none', reason: '' }
    promise(kind !== 'fault', `an error of our own: ${reason}`)
    promise(kind !== 'allowed' || input.includes('true'), 'admitted without true')
    return `${kind} ${reason.replaceAll(/["'][^]*["']|\d+/g, '_').slice(-40)}`
  },
}

export const ADMISSION_SUBJECTS: readonly Subject[] = [allowAnswer, webAddress, verifyAnswer]
