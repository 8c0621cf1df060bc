// What there is to say of the certificates that a relay presents: judged by the rules of Tailscale's clients, and
// in words that tell an operator what to do. Facts in, verdict out: nothing is connected to here.

import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { expiryText, selfSignedPin } from '#config/certificate-check.ts'
import { pinProblem, type Verification } from '#client/tls-verification.ts'
import { ipToBytes, ipToText } from '#protocol/ip-address.ts'
import { certificatePin } from '#protocol/self-signed.ts'

const DAY_MS = 86_400_000
/** Tailscale's own prober complains from then on; automatic renewals are long over by then. */
const DAYS_LEFT_MIN = 7
/** Of certificates that live for days, a third of their life: when their renewal is due. */
const PART_OF_LIFE_LEFT_MIN = 1 / 3

/** What a TLS handshake has shown. */
export interface PresentedChain {
  /** In the server's order, meta certificate included. */
  readonly certificates: readonly X509Certificate[]
  /** OpenSSL's verdict on the chain without regard to names; undefined when it is trusted. */
  readonly chainError: string | undefined
}

export interface CertificateFacts {
  /** How a DERP map pins it. */
  readonly pin: string
  readonly names: readonly string[]
  readonly issuer: string
  readonly isSelfSigned: boolean
  /** Without the meta certificate. */
  readonly chainLength: number
  readonly validFrom: string
  readonly validUntil: string
  /** Whole days, negative when it has expired. */
  readonly daysLeft: number
}

export interface CertificateVerdict {
  readonly facts: CertificateFacts
  /** Why clients refuse it; empty when they don't. */
  readonly refusals: readonly string[]
  /** Why it soon will be a problem. */
  readonly warning: string | undefined
  readonly hint: string | undefined
  readonly summary: string
}

/** Judges a chain; undefined when there is no certificate in it besides meta certificates. */
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

/** Its alternative names, without the words that Node puts before each. */
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
  // What has no name of ours yet is a refusal all the same.
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
      return 'self-signed, and neither pinned nor trusted here'
    case 'SELF_SIGNED_CERT_IN_CHAIN':
      return 'its chain ends at an authority that is not trusted here'
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return `its issuer (${nameIn(leaf.issuer)}) is neither presented nor trusted here`
    case 'CERT_HAS_EXPIRED':
    case 'CERT_NOT_YET_VALID':
      // The leaf's own dates have been told; another one's are told by OpenSSL's word.
      return undefined
    default:
      return chainError
  }
}

function nameRefusal(leaf: X509Certificate, name: string | undefined): string | undefined {
  if (name === undefined) return undefined
  // Go's TLS, which the clients use, looks at alternative names alone.
  const matched = isIP(name) === 0 ? leaf.checkHost(name, { subject: 'never' }) : leaf.checkIP(name)
  if (matched !== undefined) return undefined
  return `made out to ${namesOf(leaf).join(', ') || 'no alternative name'}, not to ${name}`
}

function expiryWarning(leaf: X509Certificate, nowMs: number): string | undefined {
  const [fromMs, untilMs] = [leaf.validFromDate.getTime(), leaf.validToDate.getTime()]
  const leastMs = Math.min(DAYS_LEFT_MIN * DAY_MS, (untilMs - fromMs) * PART_OF_LIFE_LEFT_MIN)
  const leftMs = untilMs - nowMs
  return leftMs > 0 && leftMs < leastMs ? `expires on ${expiryText(leaf)}; its renewal is late` : undefined
}

function hintFor(
  leaf: X509Certificate,
  { chainError }: PresentedChain,
  verification: Verification,
): string | undefined {
  const pin = certificatePin(leaf.raw)
  if (verification.kind === 'pin') {
    const isOther = pin !== `sha256-raw:${verification.sha256}`
    return isOther ? `if this certificate is the relay's new one, its pin is ${pin}` : undefined
  }
  switch (chainError) {
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return `if this certificate is the relay's own, pin it: -pin ${pin} here, CertName in the DERP map`
    case 'SELF_SIGNED_CERT_IN_CHAIN':
      return "-ca FILE trusts an authority of your own; clients need it among their system's"
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
      return 'a relay has to serve its whole chain behind its own certificate; -ca FILE trusts an authority of your own'
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
  const compared = isAddress ? ' (not compared: the target is an address)' : ''
  return `${signer}${trust}; ${names}${compared}; ${facts.daysLeft} days left`
}

/** Subject and issuer have one part a line; its common name is what people call it. */
function nameIn(distinguishedName: string | undefined): string {
  const text = distinguishedName ?? ''
  return /^CN=(.*)$/m.exec(text)?.[1] ?? (text.replaceAll('\n', ', ') || 'nobody')
}

function isMeta(certificate: X509Certificate): boolean {
  const subject: string | undefined = certificate.subject
  return /^CN=derpkey/m.test(subject ?? '')
}
