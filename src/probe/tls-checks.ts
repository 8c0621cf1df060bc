// The checks of TLS and of the certificate. The connection is opened without verification, so that any certificate can
// be examined; it is then judged as clients would. After a refused certificate, the later checks connect without
// verification, so that a bad certificate hides no other fault; the mesh key is never sent on such a connection.

import { once } from 'node:events'
import { isIP, type Socket } from 'node:net'
import { connect as connectTls, getCACertificates, type TLSSocket } from 'node:tls'
import type { SharedResources } from '#client/shared-resources.ts'
import {
  metaKeyOf,
  presentedCertificates,
  verificationFor,
  type ServerTrust,
  type Verification,
} from '#client/tls-verification.ts'
import { openTcp, type ReachableAddress } from './addresses.ts'
import {
  judgeChain,
  type CertificateFacts,
  type PresentedChain,
  type CertificateVerdict,
} from './certificate-verdict.ts'
import { CheckError, errorText, within, type CheckList, type Outcome } from './check.ts'
import type { ProbedNode } from './probed-node.ts'
import type { ProbeSettings } from './settings.ts'

/** What the TLS checks found, and how later checks connect. */
export interface TlsResult {
  /** How later connections verify the relay; false: plain TCP. */
  readonly trust: ServerTrust | false
  /** Whether a secret may be sent: the relay's certificate is verified, or the user disabled verification. */
  readonly maySendSecret: boolean
  readonly metaKey: Uint8Array | undefined
  /** Why there is no meta key; empty when there is one. */
  readonly noMetaReason: string
  readonly certificate: CertificateFacts | undefined
}

/** All trusted authorities: the system's, Node's, those of NODE_EXTRA_CA_CERTS, and those of the settings. */
export function trustedAuthorities(settings: Pick<ProbeSettings, 'authorities'>): readonly string[] {
  const known = [...getCACertificates('default'), ...getCACertificates('system'), ...settings.authorities]
  return [...new Set(known)]
}

/** How the node's certificate is verified. @throws RangeError for a pin that no certificate can match */
export function trustFor(node: ProbedNode, authorities: readonly string[]): ServerTrust {
  const { certName, isInsecure } = node
  return { ca: authorities, isInsecure, ...(certName === undefined ? {} : { certName }) }
}

/** Makes the TLS checks; undefined when no TLS connection is possible. */
export async function checkTls(
  node: ProbedNode,
  target: ReachableAddress,
  trust: ServerTrust,
  run: {
    readonly settings: ProbeSettings
    readonly checks: CheckList
    readonly shared: SharedResources
  },
): Promise<TlsResult | undefined> {
  const { settings, checks, shared } = run
  const shown = await checks.run('tls', undefined, () =>
    handshake(node, target, { trust, shared, timeoutMs: settings.timeoutMs }),
  )
  if (shown === undefined) return undefined
  const { chain, protocol } = shown
  const metaKey = protocol === 'TLSv1.3' ? metaKeyOf(chain.certificates) : undefined
  let verdict: CertificateVerdict | undefined
  let isVerified = false
  const isGood = await checks.run('certificate', undefined, async () => {
    const verification = verificationFor(node.host, trust)
    verdict = judgeChain(chain, verification, Date.now())
    isVerified = verification.kind !== 'none'
    return certificateOutcome(verdict, verification, settings.isInsecure)
  })
  const isRefused = isGood === undefined && (verdict === undefined || verdict.refusals.length > 0)
  const certificate = verdict?.facts
  const noMetaReason =
    protocol === 'TLSv1.3'
      ? 'the relay presents no meta certificate'
      : `no meta certificate with ${protocol}; TLS 1.3 is needed`
  const facts = { metaKey, noMetaReason, certificate }
  if (isRefused) return { trust: { isInsecure: true }, maySendSecret: false, ...facts }
  // Only the command line can disable verification for secrets. A map may come from an untrusted source.
  return { trust, maySendSecret: isVerified || settings.isInsecure, ...facts }
}

function certificateOutcome(
  verdict: CertificateVerdict | undefined,
  verification: Verification,
  isFlagInsecure: boolean,
): Outcome<true> {
  if (verdict === undefined) return { status: 'fail', detail: 'no certificate besides the meta certificate' }
  const { refusals, warning, hint, summary } = verdict
  if (verification.kind === 'none') {
    const reason = isFlagInsecure ? '-insecure' : 'InsecureForTests in the map'
    return { status: 'skip', detail: `not verified (${reason}): ${summary}` }
  }
  if (refusals.length > 0) {
    const detail = refusals.join('; ')
    return hint === undefined ? { status: 'fail', detail } : { status: 'fail', detail, hint }
  }
  if (warning !== undefined) return { status: 'fail', detail: warning }
  return { status: 'ok', value: true, detail: summary }
}

interface HandshakeOptions {
  readonly trust: ServerTrust
  readonly shared: SharedResources
  readonly timeoutMs: number
}

async function handshake(
  node: ProbedNode,
  target: ReachableAddress,
  options: HandshakeOptions,
): Promise<Outcome<{ readonly chain: PresentedChain; readonly protocol: string }>> {
  const { socket, ms } = await openTls(node, target, options)
  try {
    const { authorizationError } = socket
    const chainError = authorizationError ? codeText(authorizationError) : undefined
    const chain = { certificates: presentedCertificates(socket), chainError }
    const protocol = socket.getProtocol() ?? 'unknown'
    const detail = `${protocol}, ${socket.getCipher().name}`
    return { status: 'ok', value: { chain, protocol }, detail, ms }
  } finally {
    socket.destroy()
  }
}

const NO_HANDSHAKE = 'no TLS handshake'

/** Opens an unverified TLS connection and measures how long the handshake takes. */
export async function openTls(
  node: ProbedNode,
  target: ReachableAddress,
  { trust, shared, timeoutMs }: HandshakeOptions,
): Promise<{ readonly socket: TLSSocket; readonly ms: number }> {
  const { socket: tcp } = await openTcp(target.address, node.port, timeoutMs)
  tcp.on('error', () => undefined)
  const sni = isIP(node.host) === 0 ? node.host : undefined
  const startMs = performance.now()
  const socket = connectTls({
    socket: tcp,
    secureContext: shared.secureContextFor(trust),
    servername: sni ?? '',
    rejectUnauthorized: false,
    checkServerIdentity: () => undefined,
  })
  socket.on('error', () => undefined)
  try {
    await within(timeoutMs, NO_HANDSHAKE, secured(socket))
    return { socket, ms: performance.now() - startMs }
  } catch (error) {
    socket.destroy()
    throw withLikelyCause(error, sni)
  }
}

async function secured(socket: Socket): Promise<void> {
  const cut = once(socket, 'close').then(() => {
    throw new Error('the server closed the connection during the TLS handshake')
  })
  await Promise.race([once(socket, 'secureConnect'), cut])
}

/** The same error with a hint at its likely cause. */
function withLikelyCause(error: unknown, sni: string | undefined): unknown {
  const text = errorText(error)
  const isPlain = /wrong version number|packet length too long|http request/i.test(text)
  const hints = [
    ...(isPlain || text.startsWith(NO_HANDSHAKE) ? ['for a relay without TLS, use http://HOST:PORT'] : []),
    ...(isPlain || sni !== undefined
      ? []
      : ['no server name was sent, because the target is an address; many relays accept only their name']),
  ]
  return hints.length === 0 ? error : new CheckError(text, hints.join('; '))
}

function codeText(error: Error | string): string {
  if (typeof error === 'string') return error
  return 'code' in error ? String(error.code) : error.message
}
