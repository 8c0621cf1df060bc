// The certificates of the relay, and their one owner: holds what is in use, gives it to the relay threads, and is what
// metrics, readiness and log ask. A source (certificates/certificate-source.ts) finds, makes or orders certificates; whatever
// it reports as failed leaves everything in use. Renews the meta certificate too. Runs on the control thread.

import { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import {
  CERTIFICATE_FAILURES,
  type CertificateFailure,
  type CertificateHost,
  type CertificateSource,
  type ChallengePort,
  type SourcedCertificate,
} from '#certificates/certificate-source.ts'
import { MetaLife } from '#certificates/meta-life.ts'
import { isNearlyExpired, selfSignedPin } from '#config/certificate-check.ts'
import type { Settings } from '#config/settings.ts'
import { reasonOf } from '#fleet/problem.ts'
import type { CertificateStatus } from '#ops/certificate-families.ts'
import { LogEvent } from '#ops/log-event.ts'
import type { Log, LogFields } from '#ops/log.ts'
import type { NamedCertificate } from '#protocol/certificate-pem.ts'
import { tlsIdentity } from '#transport/tls-identity.ts'
import type { ToRelayThread } from '#worker/thread-messages.ts'
import type { Service } from './service.ts'

/** How often the dates of certificates are looked at; the shortest certificates live for days. */
const LOOK_MS = 3_600_000

export interface CertificatesParts {
  readonly settings: Pick<Settings, 'hostname' | 'nodeKey' | 'tlsMaxVersion'>
  readonly log: Log
  /** Unix time in milliseconds. */
  readonly now: () => number
  readonly makeSource: (host: CertificateHost, tlsAlpn: ChallengePort['tlsAlpn']) => CertificateSource
  /** Sends a message to all relay threads. */
  readonly broadcast: (message: ToRelayThread) => void
  /** Resolves when they have handled all that they were sent. */
  readonly handled: () => Promise<void>
}

/** A certificate in use, parsed. */
interface InUse extends SourcedCertificate {
  readonly x509: X509Certificate
}

/** What a reload found. */
export interface CertificateReload {
  readonly path: string
  readonly result: 'new' | 'same' | 'refused'
}

export class Certificates implements Service, CertificateHost {
  readonly #parts: CertificatesParts
  readonly #source: CertificateSource
  readonly #meta: MetaLife
  readonly #failures = new Map<string, number>(CERTIFICATE_FAILURES.map((reason) => [reason, 0]))
  readonly #challenges = new Map<string, NamedCertificate>()
  #inUse: readonly InUse[] = []
  #usedSinceMs: number | undefined = undefined
  #lastFailure: CertificateFailure | undefined = undefined
  /** The PEM of the meta certificate that the threads were given last. */
  #sentMeta = ''
  #hasStarted = false
  #warnedOf: X509Certificate | undefined = undefined
  #timer: NodeJS.Timeout | undefined = undefined

  constructor(parts: CertificatesParts) {
    this.#parts = parts
    this.#meta = new MetaLife(parts.settings.nodeKey.publicKey)
    this.#source = parts.makeSource(this, this.#tlsAlpn())
  }

  /** Resolves when the threads were sent what is at hand; they use it before they listen. */
  async start(): Promise<void> {
    await this.#source.start()
    this.#hasStarted = true
    this.#send()
    this.#look()
    this.#timer = setInterval(() => this.#look(), LOOK_MS)
  }

  /** The relay's ports listen. */
  listening(): void {
    this.#source.listening?.()
  }

  async reload(): Promise<CertificateReload> {
    const before = this.#inUse
    await this.#source.reload()
    const path = this.#inUse[0]?.from ?? ''
    if (this.#lastFailure !== undefined) return { path, result: 'refused' }
    return { path, result: this.#inUse === before ? 'same' : 'new' }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#source.stop()
  }

  get status(): CertificateStatus {
    const certificates = this.#inUse.map(({ names: [name = ''], origin, x509 }, index) => ({
      hostname: index === 0 ? this.#parts.settings.hostname : name,
      origin,
      notBeforeMs: x509.validFromDate.getTime(),
      notAfterMs: x509.validToDate.getTime(),
    }))
    const lastFailure = this.#lastFailure?.text
    return { certificates, usedSinceMs: this.#usedSinceMs, failures: this.#failures, lastFailure }
  }

  // ── events of the source ──

  use(certificates: readonly SourcedCertificate[]): void {
    const refusal = certificates.flatMap((one) => this.#refusalOf(one))[0]
    if (refusal !== undefined) return this.failed({ reason: 'refused_by_tls', text: refusal })
    const found = certificates.map((one) => ({ ...one, x509: new X509Certificate(one.pem.certificate) }))
    const hadFailed = this.#lastFailure !== undefined
    this.#lastFailure = undefined
    if (areSame(found, this.#inUse)) {
      if (hadFailed) this.#parts.log.info(LogEvent.certificateRecovered, this.#fieldsOf(found))
      return
    }
    const event = this.#inUse.length === 0 ? LogEvent.certificateLoaded : LogEvent.certificateReplaced
    this.#parts.log.info(event, this.#fieldsOf(found))
    this.#inUse = found
    this.#usedSinceMs = this.#parts.now()
    if (this.#hasStarted) this.#send()
  }

  failed(failure: CertificateFailure): void {
    const { reason, text, retryInMs } = failure
    this.#failures.set(reason, (this.#failures.get(reason) ?? 0) + 1)
    const isKnown = this.#lastFailure?.text === text
    this.#lastFailure = failure
    if (isKnown) return
    const [first] = this.#inUse
    const inUse = first === undefined ? 'none' : `valid until ${first.x509.validToDate.toISOString()}`
    this.#parts.log.warn(LogEvent.certificateRefused, { reason, problem: text, inUse, retryInMs })
  }

  #tlsAlpn(): ChallengePort['tlsAlpn'] {
    return {
      set: async (name, pem) => {
        this.#challenges.set(name, { names: [name], pem })
        this.#send()
        await this.#parts.handled()
      },
      clear: (name) => {
        if (this.#challenges.delete(name)) this.#send()
      },
    }
  }

  /** Gives the threads all that is in use. */
  #send(): void {
    this.#sentMeta = this.#meta.pem(this.#parts.now())
    const certificates = this.#inUse.map(({ names, pem }) => ({ names, pem }))
    const set = { certificates, meta: this.#sentMeta, challenges: [...this.#challenges.values()] }
    this.#parts.broadcast({ kind: 'certificates', set })
  }

  /** Renews the meta certificate when it is time, and warns once of a certificate that nobody has renewed. */
  #look(): void {
    const { log, now } = this.#parts
    if (this.#meta.pem(now()) !== this.#sentMeta) this.#send()
    const late = this.#inUse.find(({ x509 }) => isNearlyExpired(x509, now()))
    if (late === undefined || late.x509 === this.#warnedOf) return
    this.#warnedOf = late.x509
    log.warn(LogEvent.certificateExpiring, this.#fieldsOf([late]))
  }

  /** What TLS has against a certificate. A relay thread must not be given one that it would fail with. */
  #refusalOf({ from, pem }: SourcedCertificate): readonly string[] {
    const { tlsMaxVersion: maxVersion } = this.#parts.settings
    const meta = this.#meta.pem(this.#parts.now())
    try {
      createSecureContext(tlsIdentity({ pem, meta, maxVersion, protocols: [] }))
      return []
    } catch (error) {
      return [`${from} is refused by TLS: ${reasonOf(error)}`]
    }
  }

  #fieldsOf(certificates: readonly InUse[]): LogFields {
    const [first] = certificates
    if (first === undefined) return {}
    return {
      names: certificates.flatMap(({ names }) => names),
      source: first.origin,
      from: first.from,
      validFrom: first.x509.validFromDate.toISOString(),
      validUntil: first.x509.validToDate.toISOString(),
      // Clients accept a self-signed certificate by its pin alone, so their DERP map needs it.
      pin: selfSignedPin(first.x509),
    }
  }
}

function areSame(some: readonly InUse[], others: readonly InUse[]): boolean {
  return (
    some.length === others.length &&
    some.every((one, i) => {
      const other = others[i]
      return one.pem.certificate === other?.pem.certificate && one.pem.key === other.pem.key
    })
  )
}
