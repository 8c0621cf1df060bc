// TLS for clients: versions, ALPN, server name, and certificates. The meta certificate is compared byte by byte except
// for its key, its signature and its dates.

import type { X509Certificate } from 'node:crypto'
import { TLSSocket, type ConnectionOptions } from 'node:tls'
import { presentedCertificates } from '#client/tls-verification.ts'
import type { Script, Scripts, Dialogue } from '../../support/dialogue.ts'

/** Lengths of an Ed25519 key and of its signatures. */
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64
/** UTCTime with seconds, as in 260822120000Z. */
const UTC_TIME = /170d[0-9a-f]{26}/g
/** The Ed25519 key info (RFC 8410 §4) up to the key itself. */
const ED25519_INFO = '302a300506032b6570032100'

/** One handshake per setting. */
function handshakes(...settings: readonly ConnectionOptions[]): Script {
  return async (dialogue) => {
    for (const [at, tls] of settings.entries()) await handshake(dialogue, `client ${at}`, tls)
  }
}

/** One latency check per setting. */
function requestsOver(...settings: readonly ConnectionOptions[]): Script {
  return async (dialogue) => {
    for (const [at, tls] of settings.entries()) {
      await dialogue.request(`client ${at}`, 'GET /derp/probe HTTP/1.1\r\nHost: localhost\r\n\r\n', { tls })
    }
  }
}

/** Makes a handshake, adds its result to the transcript, and calls `inspect`; sends nothing else. */
async function handshake(
  dialogue: Dialogue,
  name: string,
  tls: ConnectionOptions,
  inspect: (socket: TLSSocket) => void = () => undefined,
): Promise<void> {
  const client = await dialogue.dial(name, { tls })
  const { socket } = client
  if (!(socket instanceof TLSSocket)) throw new Error('dialled without TLS')
  await dialogue.settle(0)
  const settings = JSON.stringify(tls)
  if (socket.destroyed) {
    dialogue.write(`${name} failed: ${settings}`)
  } else {
    dialogue.write(`${name} agreed on ${socket.getProtocol()}, ALPN ${socket.alpnProtocol}: ${settings}`)
    inspect(socket)
  }
  client.destroy()
}

/** A certificate's DER in hex; parts that change with every start are masked. */
function maskedDer(certificate: X509Certificate): string {
  const hex = certificate.raw.toString('hex')
  const keyAt = hex.indexOf(ED25519_INFO) + ED25519_INFO.length
  const withoutKey = hex.slice(0, keyAt) + 'kk'.repeat(KEY_BYTES) + hex.slice(keyAt + 2 * KEY_BYTES)
  return (withoutKey.slice(0, -2 * SIGNATURE_BYTES) + 'ss'.repeat(SIGNATURE_BYTES)).replaceAll(
    UTC_TIME,
    'time',
  )
}

/** The lines of a certificate; of a meta certificate all bytes. */
function describe(certificate: X509Certificate): string[] {
  const { subject, issuer, serialNumber, ca, publicKey } = certificate
  const isMeta = subject.startsWith('CN=derpkey')
  const serial = isMeta ? serialNumber : 'of its own'
  const line = `${subject} by ${issuer}, serial ${serial}, CA ${ca}, ${publicKey.asymmetricKeyType}`
  if (!isMeta) return [line]
  const days = (date: Date): number => Math.round((date.getTime() - Date.now()) / 86_400_000)
  return [
    line,
    maskedDer(certificate),
    `valid from day ${days(certificate.validFromDate)} to day ${days(certificate.validToDate)}`,
    `signed by itself: ${certificate.verify(publicKey)}`,
  ]
}

export const tlsScripts: Scripts = {
  'the certificates: the operator’s, then the meta certificate': async (dialogue) => {
    await handshake(dialogue, 'alice', {}, (socket) => {
      for (const certificate of presentedCertificates(socket)) dialogue.lines.push(...describe(certificate))
    })
  },

  'versions of TLS': handshakes(
    { minVersion: 'TLSv1.3' },
    { maxVersion: 'TLSv1.2' },
    { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
  ),
  'TLS before 1.2': handshakes(
    { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    { minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' },
  ),
  'TLS 1.2 without forward secrecy': handshakes({
    maxVersion: 'TLSv1.2',
    ciphers: 'AES128-SHA:AES128-GCM-SHA256',
  }),
  'ALPN: none, or HTTP/1.1': requestsOver({}, { ALPNProtocols: ['http/1.1'] }),
  'ALPN: HTTP/2 or HTTP/1.1': handshakes({ ALPNProtocols: ['h2', 'http/1.1'] }),
  'ALPN: HTTP/2 alone': handshakes({ ALPNProtocols: ['h2'] }),
  'ALPN: another protocol': handshakes({ ALPNProtocols: ['acme-tls/1'] }),
  'another server name': handshakes({ servername: 'derp.example.com' }),
  'the server name in capitals': handshakes({ servername: 'LOCALHOST' }),
  'no server name': handshakes({ servername: '' }),
  'session tickets': async (dialogue) => {
    await handshake(dialogue, 'alice', { maxVersion: 'TLSv1.2' }, (socket) => {
      dialogue.write(`the relay gave ${socket.getTLSTicket() === undefined ? 'no ticket' : 'a ticket'}`)
    })
  },
}
