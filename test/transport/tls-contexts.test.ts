// Which certificate a handshake gets, for every form of a name and of an address.

import { X509Certificate } from 'node:crypto'
import { expect, it } from 'vitest'
import { TlsContexts } from '#transport/tls-contexts.ts'
import { certificateSet, namedPair } from '../support/acceptor-harness.ts'

const NAMES = ['derp.example', '*.wild.example', '192.0.2.7', '2001:db8::7'] as const

const contexts = new TlsContexts('TLSv1.3')
contexts.use(certificateSet(NAMES.map((name) => namedPair(name))))

/** The name of the certificate for a client that sends this server name to this address. */
function chosen(serverName: string | undefined, localAddress: string): string {
  const choice = contexts.choose(
    { serverName, isAcmeValidation: false, offersProtocols: false },
    () => localAddress,
  )
  return new X509Certificate(String(choice?.options.cert)).subject.replace('CN=', '')
}

it.each([
  ['derp.example', '192.0.2.7', 'derp.example'],
  ['a.wild.example', '192.0.2.7', '*.wild.example'],
  ['a.b.wild.example', '192.0.2.7', 'derp.example'],
  ['wild.example', '192.0.2.7', 'derp.example'],
  [undefined, '192.0.2.7', '192.0.2.7'],
  [undefined, '::ffff:192.0.2.7', '192.0.2.7'],
  [undefined, '2001:DB8:0:0::7', '2001:db8::7'],
  [undefined, '10.0.0.1', 'derp.example'],
  [undefined, '', 'derp.example'],
  ['2001:db8::7', '192.0.2.7', '192.0.2.7'],
  ['2001:db8:0::7', '10.0.0.1', '2001:db8::7'],
  ['192.0.2.8', '10.0.0.1', 'derp.example'],
])('to %s at %s: the certificate for %s', (serverName, localAddress, expected) => {
  expect(chosen(serverName, localAddress)).toBe(expected)
})

it('does not ask for the address where the name decides, and makes no context anew for the same certificate', () => {
  const named = { serverName: 'derp.example', isAcmeValidation: false, offersProtocols: false }
  const unasked = (): string => {
    throw new Error('asked')
  }
  const before = contexts.choose(named, unasked)
  const single = new TlsContexts('TLSv1.3')
  const pair = namedPair('derp.example')
  single.use(certificateSet([pair]))
  const first = single.choose(
    { serverName: undefined, isAcmeValidation: false, offersProtocols: false },
    unasked,
  )
  single.use(certificateSet([pair], [namedPair('validated.example')]))
  expect(single.choose(named, unasked)).toBe(first)
  expect(contexts.choose(named, unasked)).toBe(before)
})
