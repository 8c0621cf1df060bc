// Certificates from the operator's files: HOSTNAME.crt and HOSTNAME.key in a folder. The files are read every second rather
// than watched, because they are replaced in many ways: by renaming, by exchanging a symbolic link of one of their folders
// (a Kubernetes secret), on a network file system, or in place. Both are judged together. While they do not match, or one is
// incomplete, the other may be about to follow, so that is no failure for a few seconds. What is refused changes nothing.

import { setTimeout as pause } from 'node:timers/promises'
import { checkCertificate, selfSignedPin, type CertificateFault } from '#config/certificate-check.ts'
import {
  readChangingCertificate,
  type CertificateFiles,
  type CertificateReading,
} from '#config/certificate-files.ts'
import type {
  CertificateFailureReason,
  CertificateHost,
  CertificateSource,
  SourcedCertificate,
} from './certificate-source.ts'

/** New files are served well within five seconds; two small files cost nothing. */
const LOOK_MS = 1_000
/** Longer than a shell or an editor needs to write a file that it has emptied. */
const SETTLE_MS = 300
/** An operator who copies two files by hand, or a slow synchronisation, needs some seconds between them. */
const GRACE_MS = 10_000
/** Files that never rest are judged as they are. */
const SETTLES_MAX = 5

export interface FileSourceParts {
  readonly files: CertificateFiles
  readonly hostname: string
  readonly host: CertificateHost
  /** Unix time in milliseconds. */
  readonly now: () => number
}

interface Refusal {
  readonly reason: CertificateFailureReason
  readonly text: string
  /** The files may become complete by themselves. */
  readonly isPassing: boolean
}

type Verdict = { readonly certificate: SourcedCertificate } | { readonly refusal: Refusal }

export class FileSource implements CertificateSource {
  readonly #parts: FileSourceParts
  /** What the files were when they were last used or refused, as comparable text. */
  #judged = ''
  /** The text of the last refusal that was reported; undefined after files that are used. */
  #reported: string | undefined = undefined
  /** The files were refused because of their dates, and the host's clock may change its mind. */
  #isDated = false
  /** Since when the files do not belong together, monotonic milliseconds. */
  #incompleteSinceMs: number | undefined = undefined
  #timer: NodeJS.Timeout | undefined = undefined
  #looking: Promise<void> | undefined = undefined
  #isStopped = false

  constructor(parts: FileSourceParts) {
    this.#parts = parts
  }

  /** @throws Error if the files cannot be served at all; the start has judged everything else */
  async start(): Promise<void> {
    const reading = await readChangingCertificate(this.#parts.files)
    const found = this.#judge(reading, 'at the start')
    if ('refusal' in found) throw new Error(found.refusal.text)
    this.#judged = comparable(reading)
    this.#parts.host.use([found.certificate])
    this.#timer = setInterval(() => void this.#look(false), LOOK_MS)
    this.#timer.unref()
  }

  /** What is wrong with the files is reported now, without the usual patience. */
  async reload(): Promise<void> {
    await this.#looking
    await this.#look(true)
  }

  stop(): void {
    this.#isStopped = true
    clearInterval(this.#timer)
  }

  /** One look at a time. */
  async #look(isAsked: boolean): Promise<void> {
    this.#looking ??= this.#lookOnce(isAsked).finally(() => (this.#looking = undefined))
    await this.#looking
  }

  async #lookOnce(isAsked: boolean): Promise<void> {
    const first = await readChangingCertificate(this.#parts.files)
    const isOpen = isAsked || this.#isDated || this.#incompleteSinceMs !== undefined
    if (!isOpen && comparable(first) === this.#judged) return
    const reading = await this.#settled(first)
    if (this.#isStopped) return
    const verdict = this.#judge(reading, 'while serving')
    if ('refusal' in verdict) return this.#refuse(reading, verdict.refusal, isAsked)
    this.#judged = comparable(reading)
    this.#reported = undefined
    this.#isDated = false
    this.#incompleteSinceMs = undefined
    this.#parts.host.use([verdict.certificate])
  }

  /** What the files are once they rest. */
  async #settled(first: CertificateReading): Promise<CertificateReading> {
    let reading = first
    for (let i = 0; i < SETTLES_MAX; i++) {
      await pause(SETTLE_MS, undefined, { ref: false })
      const next = await readChangingCertificate(this.#parts.files)
      if (comparable(next) === comparable(reading)) break
      reading = next
    }
    return reading
  }

  #refuse(reading: CertificateReading, { reason, text, isPassing }: Refusal, isAsked: boolean): void {
    const nowMs = performance.now()
    if (isPassing && !isAsked) {
      this.#incompleteSinceMs ??= nowMs
      if (nowMs - this.#incompleteSinceMs < GRACE_MS) return
    }
    this.#judged = comparable(reading)
    this.#isDated = reason === 'expired' || reason === 'not_yet_valid'
    this.#incompleteSinceMs = undefined
    if (text === this.#reported && !isAsked) return
    this.#reported = text
    this.#parts.host.failed({ reason, text })
  }

  #judge(reading: CertificateReading, when: 'at the start' | 'while serving'): Verdict {
    const { files, hostname, now } = this.#parts
    if (!('pem' in reading)) {
      const text = reading.unread.map(({ path, reason }) => `${path} ${reason}`).join('; ')
      return { refusal: { reason: 'unreadable', text, isPassing: true } }
    }
    const checked = checkCertificate(reading.pem, hostname, now())
    // The start has nothing else to serve. Readiness tells of a certificate that has expired since it was checked.
    const isFatal = (fault: CertificateFault): boolean => when === 'while serving' || isPassing(fault)
    const faults = checked.faults.filter(isFatal)
    if (!('certificate' in checked) || faults.length > 0) return { refusal: refusalOf(faults, files) }
    const origin = selfSignedPin(checked.certificate) === undefined ? 'manual' : 'self_signed'
    return { certificate: { names: [hostname], pem: reading.pem, origin, from: files.certificatePath } }
  }
}

/** The text of a refusal must not change while the files do not: it is compared, and logged once. */
function refusalOf(faults: readonly CertificateFault[], files: CertificateFiles): Refusal {
  const text = faults
    .map(({ file, found }) => `${file === 'key' ? files.keyPath : files.certificatePath} ${found}`)
    .join('; ')
  const [first] = faults
  return { reason: REASONS[first?.kind ?? 'unreadable'], text, isPassing: faults.some(isPassing) }
}

const REASONS = {
  unreadable: 'unreadable',
  mismatch: 'mismatch',
  expired: 'expired',
  'not yet valid': 'not_yet_valid',
  'other name': 'other_name',
  'refused by clients': 'refused_by_tls',
} as const satisfies Readonly<Record<CertificateFault['kind'], CertificateFailureReason>>

/** Half a file, or the new certificate beside the old key. */
function isPassing({ kind }: CertificateFault): boolean {
  return kind === 'unreadable' || kind === 'mismatch'
}

function comparable(reading: CertificateReading): string {
  return JSON.stringify(reading)
}
