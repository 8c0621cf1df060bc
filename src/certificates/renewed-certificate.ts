// One certificate of the relay, for one name, over the relay's life: taken from the folder, ordered when there is none, renewed in
// time, and taken over when another relay that shares the folder has renewed it. After any failure the present certificate stays,
// and there is another attempt later, after a restart as well. How a certificate is ordered is acme-issuer.ts's. Runs on the
// control thread.
//
// Contract: of two runs of one relay, only the one in charge asks the authority to renew. A run without a certificate orders one
// in any case: it could not become ready otherwise, and the other one may not want the same name.

import { setTimeout as pause } from 'node:timers/promises'
import type { AcmeName } from '#config/settings.ts'
import { backOffMs } from '#protocol/back-off.ts'
import type { CertificatePem } from '#protocol/certificate-pem.ts'
import { AcmeError } from './acme-answer.ts'
import type { AttemptRecord } from './attempt-record.ts'
import type { IssueRequest } from './acme-issuer.ts'
import type { CertificateFailure } from './certificate-source.ts'
import { checkIssued } from './issued-certificate.ts'
import { ReloadAllowance } from './reload-allowance.ts'
import { renewalIdOf, type RenewalInformation } from './renewal-information.ts'
import {
  askAgainMs,
  firstQuestionMs,
  isLastPart,
  renewalByLife,
  renewalByWindow,
  retriesFor,
  type Life,
} from './renewal-schedule.ts'

/** How soon another relay's new certificate is noticed in a folder that they share. */
const LOOK_MS = 10_000
/** While another relay renews. */
const LEASE_LOOK_MS = 3_000
/** How soon room in the folder is noticed; the question costs no authority anything. */
const STORE_LOOK_MS = 60_000
/** A reload by an operator waits so long for its result. */
const RELOAD_MS_MAX = 10_000
/** An authority that asks for renewal at once, again and again, is obeyed once in this time. */
const EARLY_RENEWALS_APART_MS = 3_600_000
const NO_PAUSE = { fromMs: 0, waitMs: 0 }
/** What is found after a start if the process before ended in the middle of an order. */
const CUT_OFF = { reason: 'other', text: 'the relay ended in the middle of an order' } as const
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
    /** @throws Error if `write` would fail */
    readonly check: () => Promise<void>
  }
  /** Survives this process. */
  readonly attempts: Pick<AttemptRecord, 'read' | 'write' | 'clear'>
  readonly issue: (request: IssueRequest) => Promise<CertificatePem>
  /** Undefined if the authority says nothing about that certificate. */
  readonly askRenewal: (renewalId: string, signal: AbortSignal) => Promise<RenewalInformation | undefined>
  /** Whether this run of the relay is the newest that serves. */
  readonly isInCharge: () => boolean
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
  /** The folder did not take files when it was to. */
  #isFolderFailing = false
  #renewAtMs = 0
  #window: RenewalInformation | undefined = undefined
  #askAtMs = 0
  #askFailures = 0
  #failureCount = 0
  /** After a failure, no attempt for `waitMs` from `fromMs` on. */
  #pause = NO_PAUSE
  #lastEarlyMs = -Infinity
  readonly #allowance = new ReloadAllowance()
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

  /** Takes the certificate and the failures before from the folder; no requests. */
  async start(): Promise<void> {
    await this.#adoptStored()
    await this.#isToWait()
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
    return this.#failureCount > 0 || this.#isFolderFailing
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
      const isAsked = this.#isReloading
      if (isAsked) {
        this.#isReloading = false
        if (this.#allowance.take(this.#parts.now())) {
          this.#askAtMs = 0
          this.#pause = NO_PAUSE
          await this.#parts.attempts.clear()
        }
      }
      await this.#lookOnce()
    } while (this.#isReloading && !this.#stop.signal.aborted)
  }

  /** Else another run of this relay renews it, and this one takes it from the folder. */
  get #isOwnTask(): boolean {
    return this.#present === undefined || this.#parts.isInCharge()
  }

  #pauseMs(): number {
    if (!this.#isOwnTask) return LOOK_MS
    const dueMs = Math.max(this.#renewAtMs, this.#retryAtMs())
    const untilDueMs = Math.min(dueMs, this.#askAtMs) - this.#parts.now()
    return Math.min(Math.max(untilDueMs, 100), LOOK_MS)
  }

  /** When the pause ends. If the clock was set back meanwhile, the pause begins anew, so it never lasts longer than twice its time. */
  #retryAtMs(): number {
    const nowMs = this.#parts.now()
    if (nowMs < this.#pause.fromMs) this.#pause = { ...this.#pause, fromMs: nowMs }
    return this.#pause.fromMs + this.#pause.waitMs
  }

  async #lookOnce(): Promise<void> {
    await this.#adoptStored()
    const { now } = this.#parts
    if (!this.#isSaved && now() >= this.#retryAtMs()) await this.#save()
    if (!this.#isOwnTask) return
    if (now() >= Math.max(this.#renewAtMs, this.#retryAtMs())) await this.#renew()
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
    this.#isFolderFailing = false
    this.#failureCount = 0
    this.#pause = NO_PAUSE
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
      this.#pause = { fromMs: now(), waitMs: LEASE_LOOK_MS }
      return
    }
    try {
      // Another relay may just have renewed it.
      if ((await this.#adoptStored()) || (await this.#isToWait())) return
      if (await this.#canStore()) await this.#order()
    } finally {
      await lease.release()
    }
  }

  /** Whether an attempt of a process of this relay before demands a pause; if so, it begins. */
  async #isToWait(): Promise<boolean> {
    const { attempts, now } = this.#parts
    const failed = await attempts.read()
    if (failed === undefined) return false
    const { failureCount, reason, text, waitMs } = failed
    this.#failureCount = Math.max(this.#failureCount, failureCount)
    // A time to come is that of a clock that was wrong then, or is now. The pause is to end all the same.
    const fromMs = Math.min(failed.atMs, now())
    if (fromMs < failed.atMs) await attempts.write({ ...failed, atMs: fromMs })
    const remainingMs = Math.round(fromMs + waitMs - now())
    if (remainingMs <= 0) return false
    this.#pause = { fromMs, waitMs }
    this.#report(reason, text, remainingMs)
    return true
  }

  /**
   * A certificate that is not stored is lost at the next restart. To order another one then, and at each restart after that,
   * uses up what the authority allows. But a relay whose certificate is about to expire is better off with one in memory.
   */
  async #canStore(): Promise<boolean> {
    const { now, store } = this.#parts
    try {
      await store.check()
      this.#isFolderFailing = false
      return true
    } catch (error) {
      if (this.#present !== undefined && isLastPart(this.#present.life, now())) return true
      this.#isFolderFailing = true
      this.#pause = { fromMs: now(), waitMs: STORE_LOOK_MS }
      this.#report('store', `nothing is ordered: ${(error as Error).message}`, STORE_LOOK_MS)
      return false
    }
  }

  async #order(): Promise<void> {
    const { attempts, issue, now, onChange, random, wanted } = this.#parts
    const { signal } = this.#stop
    const before = this.#present
    const failureCount = this.#failureCount
    const earlier = await attempts.read()
    // What is left of it if this process ends before the order does.
    const waitMs = backOffMs(retriesFor(before?.life), failureCount + 1, random())
    await attempts.write({ failureCount: failureCount + 1, atMs: now(), waitMs, ...CUT_OFF })
    try {
      const replaces = this.#window && before?.renewalId
      const pem = await issue({ wanted, replaces, failureCount, signal })
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
      // The attempt succeeds when the certificate is stored.
      this.#failureCount = failureCount
      await this.#save()
    } catch (error) {
      // A relay that is stopped in order has not failed.
      if (signal.aborted) return await (earlier === undefined ? attempts.clear() : attempts.write(earlier))
      const { message: text, reason = 'other', retryAfterMs } = error as Partial<AcmeError> & Error
      this.#fail(reason, text, retryAfterMs)
      await this.#note(reason, text)
    }
  }

  /** For the next process of this relay. */
  async #note(reason: CertificateFailure['reason'], text: string): Promise<void> {
    const { fromMs: atMs, waitMs } = this.#pause
    await this.#parts.attempts.write({ failureCount: this.#failureCount, atMs, waitMs, reason, text })
  }

  /** A certificate that can't be stored is in use all the same; a restart would order another one. */
  async #save(): Promise<void> {
    const { attempts, onChange, store } = this.#parts
    if (this.#present === undefined) return
    const { pem } = this.#present
    try {
      await store.write(pem)
      await attempts.clear()
      this.#seen = pem.certificate + pem.key
      this.#isSaved = true
      // Ends the report of the failure before.
      if (this.#failureCount > 0) onChange()
      this.#failureCount = 0
    } catch (error) {
      const { message } = error as Error
      this.#fail('store', `the new certificate is in use, but cannot be stored: ${message}`)
      await this.#note('store', `a certificate was issued, but could not be stored: ${message}`)
    }
  }

  /** An attempt of this relay's own has failed; there is another one later. */
  #fail(reason: CertificateFailure['reason'], text: string, retryAfterMs = 0): void {
    const { now, random } = this.#parts
    const delayMs = backOffMs(retriesFor(this.#present?.life), ++this.#failureCount, random())
    const retryInMs = Math.round(Math.max(delayMs, retryAfterMs))
    this.#pause = { fromMs: now(), waitMs: retryInMs }
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
