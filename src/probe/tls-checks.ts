// A TLS connection to a relay, opened without verifying so that a certificate can be looked at whatever it is, and
// the checks made of it. What is found bad here is what clients would refuse; the checks behind it then go on
// unverified, so that a bad certificate does not hide everything else, but never with a secret.

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
import type { ProbeSettings } from '#cli/probe-options.ts'
import type { ProbeNode } from './target.ts'

/** How one relay is connected to. */
export interface TlsResult {
  /** False: plain TCP. */
  readonly tls: ServerTrust | false
  /** Whether a secret may be told: the server is verified, or the user said not to verify it. */
  readonly isTrusted: boolean
  readonly metaKey: Uint8Array | undefined
  /** Why there is no meta key; empty when there is. */
  readonly noMetaReason: string
  readonly certificate: CertificateFacts | undefined
}

/** Everything trusted: the system's authorities, Node's own, those of NODE_EXTRA_CA_CERTS, and the flag's. */
export function trustedAuthorities(settings: ProbeSettings): readonly string[] {
  const known = [...getCACertificates('default'), ...getCACertificates('system'), ...settings.authorities]
  return [...new Set(known)]
}

/** How the node's certificate is verified. @throws RangeError for a pin that no certificate can match */
export function tlsOptionsFor(node: ProbeNode, authorities: readonly string[]): ServerTrust {
  const { certName, isInsecure } = node
  return { ca: authorities, isInsecure, ...(certName === undefined ? {} : { certName }) }
}

/** Makes the checks of TLS; undefined when there is no TLS connection. */
export async function checkTls(
  node: ProbeNode,
  place: ReachableAddress,
  tls: ServerTrust,
  run: {
    readonly settings: ProbeSettings
    readonly checks: CheckList
    readonly shared: SharedResources
  },
): Promise<TlsResult | undefined> {
  const { settings, checks, shared } = run
  const shown = await checks.run('tls', undefined, () =>
    handshake(node, place, { tls, shared, timeoutMs: settings.timeoutMs }),
  )
  if (shown === undefined) return undefined
  const { chain, protocol } = shown
  const metaKey = protocol === 'TLSv1.3' ? metaKeyOf(chain.certificates) : undefined
  let verdict: CertificateVerdict | undefined
  let isVerified = false
  const isGood = await checks.run('certificate', undefined, async () => {
    const verification = verificationFor(node.host, tls)
    verdict = judgeChain(chain, verification, Date.now())
    isVerified = verification.kind !== 'none'
    return certificateOutcome(verdict, verification, settings.isInsecure)
  })
  const isRefused = isGood === undefined && (verdict === undefined || verdict.refusals.length > 0)
  const certificate = verdict?.facts
  const noMetaReason =
    protocol === 'TLSv1.3' ? 'the relay presents none' : `${protocol} hides it; TLS 1.3 is needed`
  const facts = { metaKey, noMetaReason, certificate }
  if (isRefused) return { tls: { isInsecure: true }, isTrusted: false, ...facts }
  // Only who says so on the command line takes the risk; a map may have been written by anybody.
  return { tls, isTrusted: isVerified || settings.isInsecure, ...facts }
}

function certificateOutcome(
  verdict: CertificateVerdict | undefined,
  verification: Verification,
  isFlagInsecure: boolean,
): Outcome<true> {
  if (verdict === undefined) return { status: 'fail', detail: 'none besides the meta certificate' }
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
  readonly tls: ServerTrust
  readonly shared: SharedResources
  readonly timeoutMs: number
}

async function handshake(
  node: ProbeNode,
  place: ReachableAddress,
  options: HandshakeOptions,
): Promise<Outcome<{ readonly chain: PresentedChain; readonly protocol: string }>> {
  const { socket, ms } = await openTls(node, place, options)
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

/** A TLS connection, unverified, and how long its handshake took. */
export async function openTls(
  node: ProbeNode,
  place: ReachableAddress,
  { tls, shared, timeoutMs }: HandshakeOptions,
): Promise<{ readonly socket: TLSSocket; readonly ms: number }> {
  const { socket: tcp } = await openTcp(place.address, node.port, timeoutMs)
  tcp.on('error', () => undefined)
  const sni = isIP(node.host) === 0 ? node.host : undefined
  const startMs = performance.now()
  const socket = connectTls({
    socket: tcp,
    secureContext: shared.secureContextFor(tls),
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
    throw explained(error, sni)
  }
}

async function secured(socket: Socket): Promise<void> {
  const cut = once(socket, 'close').then(() => {
    throw new Error('the server closed the connection during the TLS handshake')
  })
  await Promise.race([once(socket, 'secureConnect'), cut])
}

/** The same error with its likely cause. */
function explained(error: unknown, sni: string | undefined): unknown {
  const text = errorText(error)
  const isPlain = /wrong version number|packet length too long|http request/i.test(text)
  const hints = [
    ...(isPlain || text.startsWith(NO_HANDSHAKE) ? ['http://HOST:PORT probes a relay without TLS'] : []),
    ...(isPlain || sni !== undefined
      ? []
      : ['no server name was sent, as the target is an address; many relays must be probed by their name']),
  ]
  return hints.length === 0 ? error : new CheckError(text, hints.join('; '))
}

function codeText(error: Error | string): string {
  if (typeof error === 'string') return error
  return 'code' in error ? String(error.code) : error.message
}
