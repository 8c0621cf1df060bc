// ClientHellos of real TLS libraries, in any pieces and any records, and bytes that are none.

import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { connect, type ConnectionOptions } from 'node:tls'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { helloState, readHello } from '#protocol/tls-hello.ts'
import { goClient, opensslValidation } from '../vectors/tls-hello.ts'

/** The first bytes that Node's TLS sends. */
async function helloOf(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const client = connect({ port, host: '127.0.0.1', ...options }).on('error', () => undefined)
  const [socket] = (await once(server, 'connection')) as [Socket]
  const [bytes] = (await once(socket, 'data')) as [Buffer]
  client.destroy()
  socket.destroy()
  server.close()
  return bytes
}

/** The same message in records of these sizes; the last size repeats. */
function inRecords(hello: Buffer, sizes: readonly number[]): Buffer {
  const message = hello.subarray(5)
  const records: Buffer[] = []
  for (let at = 0, i = 0; at < message.length; i++) {
    const body = message.subarray(at, at + (sizes[Math.min(i, sizes.length - 1)] ?? 1))
    records.push(Buffer.from([22, 3, 1, body.length >> 8, body.length & 255]), body)
    at += body.length
  }
  return Buffer.concat(records)
}

const cases = [
  { name: 'no name', options: {}, serverName: undefined, isAcmeValidation: false },
  {
    name: 'a name',
    options: { servername: 'Derp.Example' },
    serverName: 'derp.example',
    isAcmeValidation: false,
  },
  {
    name: 'a validation',
    options: { servername: 'derp.example', ALPNProtocols: ['acme-tls/1'] },
    serverName: 'derp.example',
    isAcmeValidation: true,
  },
  {
    name: 'several protocols',
    options: { servername: 'derp.example', ALPNProtocols: ['acme-tls/1', 'http/1.1'] },
    serverName: 'derp.example',
    isAcmeValidation: false,
  },
  {
    name: 'TLS 1.2',
    options: { servername: 'a.b', maxVersion: 'TLSv1.2', ALPNProtocols: ['h2'] },
    serverName: 'a.b',
    isAcmeValidation: false,
  },
] as const

describe.each(cases)('$name', ({ options, serverName, isAcmeValidation }) => {
  const offersProtocols = 'ALPNProtocols' in options
  let hello: Buffer
  beforeAll(async () => {
    hello = await helloOf({ ...options })
  })

  it('is whole with its last byte, and not before', () => {
    for (let end = 1; end < hello.length; end++) expect(helloState(hello.subarray(0, end))).toBe('partial')
    expect(helloState(hello)).toBe('whole')
    expect(readHello(hello)).toEqual({ serverName, isAcmeValidation, offersProtocols })
  })

  it('is the same in any records', () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 600 }), { minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(sizes, fc.double({ min: 0, max: 0.999, noNaN: true }), (sizes, part) => {
        const records = inRecords(hello, sizes)
        expect(helloState(records)).toBe('whole')
        expect(readHello(records)).toEqual({ serverName, isAcmeValidation, offersProtocols })
        const start = records.subarray(0, Math.max(1, Math.floor(records.length * part)))
        expect(helloState(start)).toBe('partial')
      }),
    )
  })

  it('ends nothing when it is damaged', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), {
      minLength: 1,
      maxLength: 8,
    })
    fc.assert(
      fc.property(damage, fc.nat(), (damage, cut) => {
        const bytes = Buffer.from(hello.subarray(0, 1 + (cut % hello.length)))
        for (const [at, value] of damage) bytes[at % bytes.length] = value
        expect(['partial', 'whole', 'foreign']).toContain(helloState(bytes))
        expect(readHello(bytes).serverName ?? '').toMatch(/^[!-~]{0,255}$/)
      }),
    )
  })
})

it('reads the hellos of OpenSSL and of Go', () => {
  const serverName = 'derp1.example.com'
  expect(helloState(opensslValidation)).toBe('whole')
  expect(readHello(opensslValidation)).toEqual({ serverName, isAcmeValidation: true, offersProtocols: true })
  expect(helloState(goClient)).toBe('whole')
  expect(readHello(goClient)).toEqual({ serverName, isAcmeValidation: false, offersProtocols: false })
})

it('bytes of other protocols are foreign', () => {
  for (const text of [
    'GET / HTTP/1.1\r\n',
    '\x00',
    '\x16\x02\x01',
    '\x16\x03\x01\x00\x00',
    '\x16\x03\x01\x40\x01',
  ]) {
    expect(helloState(Buffer.from(text, 'latin1')), JSON.stringify(text)).toBe('foreign')
  }
})

it('leaves it to TLS to judge other messages, and hellos that are too long', () => {
  const record = (...body: number[]): Buffer => Buffer.from([22, 3, 1, 0, body.length, ...body])
  expect(helloState(record(2, 0, 0, 1, 9))).toBe('whole')
  expect(helloState(record(1, 1, 0, 0, 9))).toBe('whole')
  expect(helloState(record(1, 0, 0, 9, 9))).toBe('partial')
  expect(helloState(Buffer.concat([record(1, 0, 0, 9, 9), Buffer.from('GET')]))).toBe('whole')
  expect(
    helloState(inRecords(Buffer.from([0, 0, 0, 0, 0, 1, 0, 63, 255, ...Buffer.alloc(16_379, 7)]), [1])),
  ).toBe('whole')
})

it.each([
  ['an empty name', '0000000500030000', '00'],
  ['a name with a space', '000000080006000003', '612062'],
  ['a name beyond its list', '000000080002000003', '616263'],
])('takes %s for none', (_name, head, tail) => {
  const extensions = Buffer.from(head + tail, 'hex')
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32),
    Buffer.from([0, 0, 2, 0x13, 1, 1, 0, 0, extensions.length]),
    extensions,
  ])
  const message = Buffer.concat([Buffer.from([1, 0, 0, body.length]), body])
  const bytes = Buffer.concat([Buffer.from([22, 3, 1, 0, message.length]), message])
  expect(helloState(bytes)).toBe('whole')
  expect(readHello(bytes).serverName).toBeUndefined()
})
