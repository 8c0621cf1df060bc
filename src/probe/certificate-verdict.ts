// Judges the certificates that a relay presents by the rules of Tailscale's clients, and hints at what an operator can do
// about a refusal. A pure function of the chain and the time: it opens no connection.

import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { expiryText, selfSignedPin } from '#config/certificate-check.ts'
import { pinProblem, type Verification } from '#client/tls-verification.ts'
import { ipToBytes, ipToText } from '#protocol/ip-address.ts'
import { certificatePin } from '#protocol/self-signed.ts'

const DAY_MS = 86_400_000
/** Tailscale's own prober reports a certificate from then on. An automatic renewal happens much earlier. */
const DAYS_LEFT_MIN = 7
/** For a certificate that is valid for days only: its renewal is due when a third of its life is left. */
const PART_OF_LIFE_LEFT_MIN = 1 / 3

/** The certificates of a TLS handshake. */
export interface PresentedChain {
  /** In the server's order, meta certificate included. */
  readonly certificates: readonly X509Certificate[]
  /** OpenSSL's error code for the chain, names not compared; undefined if the chain is trusted. */
  readonly chainError: string | undefined
}

export interface CertificateFacts {
  /** In the format of CertName in a DERP map. */
  readonly pin: string
  readonly names: readonly string[]
  readonly issuer: string
  readonly isSelfSigned: boolean
  /** Without the meta certificate. */
  readonly chainLength: number
  readonly validFrom: string
  readonly validUntil: string
  /** Whole days; negative after the expiry. */
  readonly daysLeft: number
}

export interface CertificateVerdict {
  readonly facts: CertificateFacts
  /** Why clients refuse it; empty if they accept it. */
  readonly refusals: readonly string[]
  /** A problem that is near. */
  readonly warning: string | undefined
  readonly hint: string | undefined
  readonly summary: string
}

/** Judges a chain; undefined if it contains only meta certificates. */
export function judgeChain(
  chain: PresentedChain,
  verification: Verification,
  nowMs: number,
): CertificateVerdict | undefined {
  const own = chain.certificates.filter((certificate) => !isMeta(certificate))
  const [leaf] = own
  if (leaf === undefined) return undefined
  const facts = factsOf(leaf, own.length, nowMs)
  return {
    facts,
    refusals: refusalsOf(leaf, chain, verification, nowMs),
    warning: expiryWarning(leaf, nowMs),
    hint: hintFor(leaf, chain, verification),
    summary: summaryOf(facts, verification),
  }
}

function factsOf(leaf: X509Certificate, chainLength: number, nowMs: number): CertificateFacts {
  return {
    pin: certificatePin(leaf.raw),
    names: namesOf(leaf),
    issuer: nameIn(leaf.issuer),
    isSelfSigned: selfSignedPin(leaf) !== undefined,
    chainLength,
    validFrom: leaf.validFromDate.toISOString(),
    validUntil: leaf.validToDate.toISOString(),
    daysLeft: Math.floor((leaf.validToDate.getTime() - nowMs) / DAY_MS),
  }
}

/** Its alternative names, without the prefix that Node adds to each. */
function namesOf(leaf: X509Certificate): readonly string[] {
  const names = (leaf.subjectAltName ?? '').split(', ').filter((name) => name !== '')
  return names.map((name) => {
    const bare = name.replace(/^(DNS|IP Address):/, '')
    return isIP(bare) === 6 ? ipToText(ipToBytes(bare)) : bare
  })
}

function refusalsOf(
  leaf: X509Certificate,
  chain: PresentedChain,
  verification: Verification,
  nowMs: number,
): readonly string[] {
  if (verification.kind === 'none') return []
  if (verification.kind === 'pin') {
    const problem = pinProblem(chain.certificates, verification, nowMs)
    return problem === undefined ? [] : [problem.replace(/^certName: /, 'pin: ')]
  }
  const refusals = [
    dateRefusal(leaf, nowMs),
    chainRefusal(leaf, chain),
    nameRefusal(leaf, verification.name),
  ].filter((one) => one !== undefined)
  // An error without a text of its own is still a refusal.
  return refusals.length === 0 && chain.chainError !== undefined ? [chain.chainError] : refusals
}

function dateRefusal(leaf: X509Certificate, nowMs: number): string | undefined {
  const { validFromDate, validToDate } = leaf
  if (nowMs > validToDate.getTime()) return `expired on ${expiryText(leaf)}`
  return nowMs < validFromDate.getTime() ? `not valid before ${validFromDate.toISOString()}` : undefined
}

function chainRefusal(leaf: X509Certificate, { chainError }: PresentedChain): string | undefined {
  switch (chainError) {
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return 'self-signed, and neither pinned nor trusted on this machine'
    case 'SELF_SIGNED_CERT_IN_CHAIN':
      return 'its chain ends at an authority that this machine does not trust'
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return `its issuer (${nameIn(leaf.issuer)}) is neither in the chain nor trusted on this machine`
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      // The leaf's dates are judged separately; for another certificate's dates, OpenSSL's code is reported.
      return undefined
    default:
      return chainError
  }
}

function nameRefusal(leaf: X509Certificate, name: string | undefined): string | undefined {
  if (name === undefined) return undefined
  // Go's TLS, which the clients use, ignores the common name.
  const matched = isIP(name) === 0 ? leaf.checkHost(name, { subject: 'never' }) : leaf.checkIP(name)
  if (matched !== undefined) return undefined
  return `valid for ${namesOf(leaf).join(', ') || 'no name'}, not for ${name}`
}

function expiryWarning(leaf: X509Certificate, nowMs: number): string | undefined {
  const [fromMs, untilMs] = [leaf.validFromDate.getTime(), leaf.validToDate.getTime()]
  const leastMs = Math.min(DAYS_LEFT_MIN * DAY_MS, (untilMs - fromMs) * PART_OF_LIFE_LEFT_MIN)
  const leftMs = untilMs - nowMs
  return leftMs > 0 && leftMs < leastMs ? `expires on ${expiryText(leaf)}; its renewal is overdue` : undefined
}

function hintFor(
  leaf: X509Certificate,
  { chainError }: PresentedChain,
  verification: Verification,
): string | undefined {
  const pin = certificatePin(leaf.raw)
  if (verification.kind === 'pin') {
    const isOther = pin !== `sha256-raw:${verification.sha256}`
    return isOther ? `if this is the relay's new certificate, its pin is ${pin}` : undefined
  }
  switch (chainError) {
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return `if this is the relay's own certificate, pin it: -pin ${pin} here, CertName in the DERP map`
    case 'SELF_SIGNED_CERT_IN_CHAIN':
      return "to trust an authority of your own, use -ca FILE; clients need it among their system's authorities"
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return 'configure the relay to send its whole chain after its own certificate; to trust an authority of your own, use -ca FILE'
    default:
      return undefined
  }
}

function summaryOf(facts: CertificateFacts, verification: Verification): string {
  const others = facts.chainLength - 1
  const chain = others === 0 ? '' : ` and ${others} more`
  const signer = facts.isSelfSigned ? 'self-signed' : `by ${facts.issuer}${chain}`
  const trust = { none: '', pin: ', pinned', chain: '' }[verification.kind]
  const names = facts.names.slice(0, 3).join(', ') + (facts.names.length > 3 ? ', …' : '')
  const isAddress = verification.kind === 'chain' && verification.name === undefined
  const compared = isAddress ? ' (not compared, because the target is an address)' : ''
  return `${signer}${trust}; ${names}${compared}; ${facts.daysLeft} days left`
}

/** The common name of a subject or issuer, which Node gives as one part a line. */
function nameIn(distinguishedName: string | undefined): string {
  const text = distinguishedName ?? ''
  return /^CN=(.*)$/m.exec(text)?.[1] ?? (text.replaceAll('\n', ', ') || 'unnamed')
}

function isMeta(certificate: X509Certificate): boolean {
  const subject: string | undefined = certificate.subject
  return /^CN=derpkey/m.test(subject ?? '')
}
