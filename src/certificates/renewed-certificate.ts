// One certificate of the relay, for one name, over the relay's life: taken from the folder, ordered when there is none, renewed in
// time, and taken over when another relay that shares the folder has renewed it. After any failure the present certificate stays,
// and there is another attempt later. How a certificate is ordered is acme-issuer.ts's. Runs on the control thread.

import { setTimeout as pause } from 'node:timers/promises'
import type { AcmeName } from '#config/settings.ts'
import { backOffMs } from '#protocol/back-off.ts'
import type { CertificatePem } from '#protocol/certificate-pem.ts'
import { AcmeError } from './acme-answer.ts'
import type { IssueRequest } from './acme-issuer.ts'
import type { CertificateFailure } from './certificate-source.ts'
import { checkIssued } from './issued-certificate.ts'
import { renewalIdOf, type RenewalInformation } from './renewal-information.ts'
import {
  askAgainMs,
  firstQuestionMs,
  renewalByLife,
  renewalByWindow,
  retriesFor,
  type Life,
} from './renewal-schedule.ts'

/** How soon another relay's new certificate is noticed in a folder that they share. */
const LOOK_MS = 10_000
/** While another relay renews. */
const LEASE_LOOK_MS = 3_000
/** A reload by an operator waits so long for its result. */
const RELOAD_MS_MAX = 10_000
/** An authority that asks for renewal at once, again and again, is obeyed once in this time. */
const EARLY_RENEWALS_APART_MS = 3_600_000
/** A renewal in the first half of the life is early. */
const EARLY_UNTIL = 0.5

export interface RenewedCertificateParts {
  readonly wanted: AcmeName
  /** The folder's file for this name. */
  readonly store: {
    /** Undefined if there is none. @throws Error for one that cannot be read */
    readonly read: () => Promise<CertificatePem | undefined>
    readonly write: (pem: CertificatePem) => Promise<void>
    /** The right to renew; undefined while another relay has it. */
    readonly lease: () => Promise<Lease | undefined>
  }
  readonly issue: (request: IssueRequest) => Promise<CertificatePem>
  /** Undefined if the authority says nothing about that certificate. */
  readonly askRenewal: (renewalId: string, signal: AbortSignal) => Promise<RenewalInformation | undefined>
  /** There is another certificate. */
  readonly onChange: () => void
  readonly onFailure: (failure: CertificateFailure) => void
  /** Unix time in milliseconds. */
  readonly now: () => number
  readonly random: () => number
}

interface Lease {
  release(): Promise<void>
}

interface Present {
  readonly pem: CertificatePem
  readonly life: Life
  readonly renewalId: string | undefined
}

export class RenewedCertificate {
  readonly #parts: RenewedCertificateParts
  readonly #stop = new AbortController()
  #present: Present | undefined = undefined
  /** The folder's text that was looked at last, good or not. */
  #seen = ''
  #isSaved = true
  #renewAtMs = 0
  #window: RenewalInformation | undefined = undefined
  #askAtMs = 0
  #askFailures = 0
  #failureCount = 0
  /** After a failure, no attempt before this time. */
  #retryAtMs = 0
  #lastEarlyMs = -Infinity
  /** There is to be a look that waits for nothing. */
  #isReloading = false
  #timer: NodeJS.Timeout | undefined = undefined
  #looking: Promise<void> | undefined = undefined

  constructor(parts: RenewedCertificateParts) {
    this.#parts = parts
  }

  /** Undefined until there is one. */
  get pem(): CertificatePem | undefined {
    return this.#present?.pem
  }

  /** Takes the certificate from the folder; no requests. */
  async start(): Promise<void> {
    await this.#adoptStored()
  }

  /** From now on, the certificate is ordered and renewed. */
  begin(): void {
    void this.#look()
  }

  /** Looks at everything now, whatever was to be waited for. An order that takes long goes on after this. */
  async reload(): Promise<void> {
    this.#isReloading = true
    await Promise.race([this.#look(), pause(RELOAD_MS_MAX, undefined, { ref: false })])
  }

  /** The last attempt to order, read or store has failed. */
  get isFailing(): boolean {
    return this.#failureCount > 0
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#stop.abort(new Error('the relay stops'))
    await this.#looking
  }

  async #look(): Promise<void> {
    clearTimeout(this.#timer)
    this.#looking ??= this.#lookWhileAsked().finally(() => {
      this.#looking = undefined
      if (this.#stop.signal.aborted) return
      this.#timer = setTimeout(() => void this.#look(), this.#pauseMs())
    })
    await this.#looking
  }

  /** A look that was in progress at a reload may be past what the operator has changed. */
  async #lookWhileAsked(): Promise<void> {
    do {
      if (this.#isReloading) {
        this.#isReloading = false
        this.#askAtMs = 0
        this.#retryAtMs = 0
      }
      await this.#lookOnce()
    } while (this.#isReloading && !this.#stop.signal.aborted)
  }

  #pauseMs(): number {
    const dueMs = Math.max(this.#renewAtMs, this.#retryAtMs)
    const untilDueMs = Math.min(dueMs, this.#askAtMs) - this.#parts.now()
    return Math.min(Math.max(untilDueMs, 100), LOOK_MS)
  }

  async #lookOnce(): Promise<void> {
    await this.#adoptStored()
    const { now } = this.#parts
    if (!this.#isSaved && now() >= this.#retryAtMs) await this.#save()
    if (now() >= Math.max(this.#renewAtMs, this.#retryAtMs)) await this.#renew()
    if (this.#stop.signal.aborted) return
    if (this.#present !== undefined && now() >= this.#askAtMs) await this.#ask(this.#present)
  }

  /** Returns whether the folder has a better certificate than the present one, which is then in use. */
  async #adoptStored(): Promise<boolean> {
    const { now, onChange, random, store, wanted } = this.#parts
    try {
      const pem = await store.read()
      const text = pem === undefined ? '' : pem.certificate + pem.key
      if (pem === undefined || text === this.#seen) return false
      this.#seen = text
      const checked = checkIssued(pem, wanted.name, now())
      if ('fault' in checked) {
        // With time, every certificate expires; a new one is ordered then.
        if (checked.reason !== 'expired') this.#report(checked.reason, `in the folder: ${checked.fault}`)
        return false
      }
      if (this.#present !== undefined && checked.life.untilMs <= this.#present.life.untilMs) return false
      this.#use(pem, checked.life)
      this.#askAtMs = now() + firstQuestionMs(checked.life, random())
      onChange()
      return true
    } catch (error) {
      const text = (error as Error).message
      if (text !== this.#seen) this.#report('store', text)
      this.#seen = text
      return false
    }
  }

  #use(pem: CertificatePem, life: Life): void {
    const { random } = this.#parts
    this.#present = { pem, life, renewalId: renewalIdOf(pem.certificate) }
    this.#renewAtMs = renewalByLife(life, random())
    this.#window = undefined
    this.#askFailures = 0
    this.#isSaved = true
    this.#failureCount = 0
    this.#retryAtMs = 0
  }

  /** Asks the authority when to renew. If it can't be asked, the last answer counts, and without one the certificate's life. */
  async #ask({ life, renewalId }: Present): Promise<void> {
    const { askRenewal, now, random } = this.#parts
    if (renewalId === undefined) {
      this.#askAtMs = Infinity
      return
    }
    try {
      const information = await askRenewal(renewalId, this.#stop.signal)
      this.#askFailures = 0
      this.#askAtMs = now() + askAgainMs(life, information)
      if (information === undefined) return
      const { fromMs, untilMs } = information
      // The time is chosen once for a window, or else it would come ever closer with each answer.
      if (fromMs === this.#window?.fromMs && untilMs === this.#window.untilMs) return
      this.#window = information
      this.#renewAtMs = this.#notTooEarly(life, renewalByWindow(life, information, random()))
    } catch {
      if (this.#stop.signal.aborted) return
      this.#askAtMs = now() + backOffMs(retriesFor(life), ++this.#askFailures, random())
    }
  }

  #notTooEarly(life: Life, renewAtMs: number): number {
    return isEarly(life, renewAtMs)
      ? Math.max(renewAtMs, this.#lastEarlyMs + EARLY_RENEWALS_APART_MS)
      : renewAtMs
  }

  async #renew(): Promise<void> {
    const { now, store } = this.#parts
    const lease = await store.lease()
    if (lease === undefined) {
      this.#retryAtMs = now() + LEASE_LOOK_MS
      return
    }
    try {
      // Another relay may just have renewed it.
      if (!(await this.#adoptStored())) await this.#order()
    } finally {
      await lease.release()
    }
  }

  async #order(): Promise<void> {
    const { issue, now, onChange, wanted } = this.#parts
    const { signal } = this.#stop
    const before = this.#present
    try {
      const replaces = this.#window && before?.renewalId
      const pem = await issue({ wanted, replaces, failureCount: this.#failureCount, signal })
      const checked = checkIssued(pem, wanted.name, now())
      if ('fault' in checked) {
        throw new AcmeError(
          'acme_certificate',
          `the authority issued a certificate that is not used: ${checked.fault}`,
        )
      }
      if (before !== undefined && isEarly(before.life, now())) this.#lastEarlyMs = now()
      this.#use(pem, checked.life)
      this.#askAtMs = 0
      this.#isSaved = false
      onChange()
      await this.#save()
    } catch (error) {
      if (signal.aborted) return
      const { message, reason = 'other', retryAfterMs } = error as Partial<AcmeError> & Error
      this.#fail(reason, message, retryAfterMs)
    }
  }

  /** A certificate that can't be stored is in use all the same; a restart would order another one. */
  async #save(): Promise<void> {
    const { onChange, store } = this.#parts
    if (this.#present === undefined) return
    const { pem } = this.#present
    try {
      await store.write(pem)
      this.#seen = pem.certificate + pem.key
      this.#isSaved = true
      // Ends the report of the failure before.
      if (this.#failureCount > 0) onChange()
      this.#failureCount = 0
    } catch (error) {
      this.#fail('store', `the new certificate is in use, but cannot be stored: ${(error as Error).message}`)
    }
  }

  /** An attempt of this relay's own has failed; there is another one later. */
  #fail(reason: CertificateFailure['reason'], text: string, retryAfterMs = 0): void {
    const { now, random } = this.#parts
    const delayMs = backOffMs(retriesFor(this.#present?.life), ++this.#failureCount, random())
    const retryInMs = Math.round(Math.max(delayMs, retryAfterMs))
    this.#retryAtMs = now() + retryInMs
    this.#report(reason, text, retryInMs)
  }

  #report(reason: CertificateFailure['reason'], text: string, retryInMs?: number): void {
    const { onFailure, wanted } = this.#parts
    onFailure({ reason, text: `${wanted.name}: ${text}`, retryInMs })
  }
}

function isEarly({ fromMs, untilMs }: Life, atMs: number): boolean {
  return atMs < fromMs + (untilMs - fromMs) * EARLY_UNTIL
}
