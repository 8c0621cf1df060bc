// TLS as a client sees it: versions, ALPN, the name asked for, and the certificates shown. The meta certificate is
// compared byte for byte but for its own key, its signature and its dates.

import type { X509Certificate } from 'node:crypto'
import { TLSSocket, type ConnectionOptions } from 'node:tls'
import { presentedCertificates } from '#client/tls-verification.ts'
import type { Scene, Scenes, Stage } from '../../support/dialogue.ts'

/** An Ed25519 key and a signature by it. */
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64
/** UTCTime with seconds, as in 260822120000Z. */
const UTC_TIME = /170d[0-9a-f]{26}/g
/** The Ed25519 key info (RFC 8410 §4) up to the key itself. */
const ED25519_INFO = '302a300506032b6570032100'

/** A handshake with each setting, and what came of it. */
function agreeing(...settings: readonly ConnectionOptions[]): Scene {
  return async (stage) => {
    for (const [at, tls] of settings.entries()) await handshake(stage, `client ${at}`, tls)
  }
}

/** The same, and then a latency check and a login over it. */
function agreeingFor(...settings: readonly ConnectionOptions[]): Scene {
  return async (stage) => {
    for (const [at, tls] of settings.entries()) {
      await stage.request(`client ${at}`, 'GET /derp/probe HTTP/1.1\r\nHost: localhost\r\n\r\n', { tls })
    }
  }
}

/** What came of a handshake, and what `look` makes of it; nothing more is said on the connection. */
async function handshake(
  stage: Stage,
  name: string,
  tls: ConnectionOptions,
  look: (socket: TLSSocket) => void = () => undefined,
): Promise<void> {
  const player = await stage.dial(name, { tls })
  const { socket } = player
  if (!(socket instanceof TLSSocket)) throw new Error('dialled without TLS')
  await stage.settle(0)
  const asked = JSON.stringify(tls)
  if (socket.destroyed) {
    stage.write(`${name} got no further: ${asked}`)
  } else {
    stage.write(`${name} agreed on ${socket.getProtocol()}, ALPN ${socket.alpnProtocol}: ${asked}`)
    look(socket)
  }
  player.destroy()
}

/** A certificate's DER in hex with what is made anew at each start masked. */
function maskedDer(certificate: X509Certificate): string {
  const hex = certificate.raw.toString('hex')
  const keyAt = hex.indexOf(ED25519_INFO) + ED25519_INFO.length
  const withoutKey = hex.slice(0, keyAt) + 'kk'.repeat(KEY_BYTES) + hex.slice(keyAt + 2 * KEY_BYTES)
  return (withoutKey.slice(0, -2 * SIGNATURE_BYTES) + 'ss'.repeat(SIGNATURE_BYTES)).replaceAll(
    UTC_TIME,
    'time',
  )
}

/** The lines of a certificate; a meta certificate is shown whole. */
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

export const tlsScenes: Scenes = {
  'the certificates: the operator’s, then the meta certificate': async (stage) => {
    await handshake(stage, 'alice', {}, (socket) => {
      for (const certificate of presentedCertificates(socket)) stage.lines.push(...describe(certificate))
    })
  },

  'versions of TLS': agreeing(
    { minVersion: 'TLSv1.3' },
    { maxVersion: 'TLSv1.2' },
    { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
  ),
  'TLS before 1.2': agreeing(
    { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    { minVersion: 'TLSv1', maxVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' },
  ),
  'TLS 1.2 without forward secrecy': agreeing({
    maxVersion: 'TLSv1.2',
    ciphers: 'AES128-SHA:AES128-GCM-SHA256',
  }),
  'ALPN: none, or HTTP/1.1': agreeingFor({}, { ALPNProtocols: ['http/1.1'] }),
  'ALPN: HTTP/2 or HTTP/1.1': agreeing({ ALPNProtocols: ['h2', 'http/1.1'] }),
  'ALPN: HTTP/2 alone': agreeing({ ALPNProtocols: ['h2'] }),
  'ALPN: something else': agreeing({ ALPNProtocols: ['acme-tls/1'] }),
  'the name asked for is another': agreeing({ servername: 'derp.example.com' }),
  'the name asked for in capitals': agreeing({ servername: 'LOCALHOST' }),
  'no name is asked for': agreeing({ servername: '' }),
  'tickets to resume with': async (stage) => {
    await handshake(stage, 'alice', { maxVersion: 'TLSv1.2' }, (socket) => {
      stage.write(`the relay gave ${socket.getTLSTicket() === undefined ? 'no ticket' : 'a ticket'}`)
    })
  },
}
