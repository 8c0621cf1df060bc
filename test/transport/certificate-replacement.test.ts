// Certificates that are replaced while connections live, several at once, validations of an authority, and none at all: over
// both acceptors and each way of TLS.

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import { AcceptorHarness, certificateSet, namedPair } from '../support/acceptor-harness.ts'

const ways = [{ way: 'openssl' }, { way: 'handles' }, { way: 'sockets' }] as const
const acme = { ALPNProtocols: ['acme-tls/1'] }

describe.each(ways)('over $way', ({ way }) => {
  let harness: AcceptorHarness
  const open = async (): Promise<AcceptorHarness> =>
    (harness = await new AcceptorHarness({ way, tls: 'TLSv1.3' }).open())
  afterEach(async () => await harness.close())

  /** The name in the certificate that a handshake gets. */
  const presented = async (options: ConnectionOptions): Promise<string> => {
    const socket = await harness.tls(options)
    const name = nameOf(socket)
    socket.destroy()
    return name
  }

  it('new handshakes get the new certificate, and connections live on with the old one', async () => {
    const { contexts } = await open()
    const { remote, accepted } = await harness.pair()
    expect(nameOf(remote as TLSSocket)).toBe('localhost')
    for (let i = 0; i < 20; i++) {
      contexts.use(certificateSet([namedPair(`${i}.example`)]))
      expect(await presented({})).toBe(`${i}.example`)
      remote.write(`ping ${i};`)
    }
    await expect.poll(() => accepted.text).toMatch(/ping 19;$/)
    accepted.connection.write(Buffer.from('pong'), true)
    expect(String((await once(remote, 'data'))[0])).toBe('pong')
    expect(accepted.closedCount).toBe(0)
  })

  it('chooses among certificates by server name, else by the address that the client has connected to', async () => {
    const { contexts } = await open()
    const all = ['derp.example', '127.0.0.1', '*.wild.example'].map((name) => namedPair(name))
    contexts.use(certificateSet(all))
    expect(await presented({ servername: 'derp.example' })).toBe('derp.example')
    expect(await presented({ servername: 'DERP.example' })).toBe('derp.example')
    expect(await presented({ servername: 'a.wild.example' })).toBe('*.wild.example')
    expect(await presented({ servername: 'other.example' })).toBe('derp.example')
    expect(await presented({})).toBe('127.0.0.1')
    // The address behind address translation is not the connection's own.
    contexts.use(certificateSet([namedPair('derp.example'), namedPair('192.0.2.7')]))
    expect(await presented({})).toBe('derp.example')
  })

  it('only a validation gets the challenge certificate, with its protocol, and no HTTP follows', async () => {
    const { contexts } = await open()
    contexts.use(certificateSet([namedPair('derp.example')], [namedPair('validated.example')]))
    const validation = await harness.tls({ servername: 'validated.example', ...acme })
    expect(nameOf(validation)).toBe('validated.example')
    expect(validation.alpnProtocol).toBe('acme-tls/1')
    validation.resume()
    await once(validation, 'close')
    expect(harness.accepted).toEqual([])
    expect(await presented({ servername: 'validated.example' })).toBe('derp.example')
    const both = { servername: 'validated.example', ALPNProtocols: ['acme-tls/1', 'http/1.1'] }
    expect(await presented(both)).toBe('derp.example')
    await expect(harness.tls({ servername: 'derp.example', ...acme })).rejects.toThrow()
    contexts.use(certificateSet([namedPair('derp.example')]))
    await expect(harness.tls({ servername: 'validated.example', ...acme })).rejects.toThrow()
  })

  it('refuses handshakes without a certificate, validations excepted', async () => {
    const { contexts, counters } = await open()
    contexts.use(certificateSet([], [namedPair('validated.example')]))
    await expect(harness.tls({ servername: 'derp.example' })).rejects.toThrow()
    expect(counters.get('handshakesUncertified')).toBe(1)
    expect(await presented({ servername: 'validated.example', ...acme })).toBe('validated.example')
    contexts.use(certificateSet([namedPair('derp.example')]))
    expect(await presented({ servername: 'derp.example' })).toBe('derp.example')
  })

  it('keeps what it has if TLS refuses a new certificate', async () => {
    const { contexts } = await open()
    const [one, other] = [namedPair('one.example'), namedPair('other.example')]
    const mixed = { names: ['mixed.example'], pem: { certificate: one.pem.certificate, key: other.pem.key } }
    expect(() => contexts.use(certificateSet([mixed]))).toThrow()
    expect(await presented({})).toBe('localhost')
  })

  it('reads a hello that arrives in pieces', async () => {
    await open()
    const tcp = harness.tcp()
    await once(tcp, 'connect')
    const socket = connectTls({ socket: inPieces(tcp), rejectUnauthorized: false })
    await once(socket, 'secureConnect')
    expect(nameOf(socket)).toBe('localhost')
    socket.destroy()
  })
})

/** The first bytes of each write leave one by one. */
function inPieces(tcp: Socket): Duplex {
  const write = async (chunk: Buffer): Promise<void> => {
    for (const byte of chunk.subarray(0, 40)) {
      tcp.write(Buffer.of(byte))
      await setImmediate()
    }
    tcp.write(chunk.subarray(40))
  }
  const stream = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => void write(chunk).then(() => done(), done),
  })
  tcp.setNoDelay(true).on('data', (chunk) => stream.push(chunk))
  return stream
}

function nameOf(socket: TLSSocket): string {
  return String(socket.getPeerCertificate().subject.CN)
}
