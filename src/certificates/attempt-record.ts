// What the folder of certificates remembers of attempts to order one that have failed: how many, and until when there is to be
// no other. So a relay that crashes and is restarted again and again does not ask an authority more often than one that keeps
// running. Relays that share the folder share the file, and each heeds its own record only: what one can't do, because the
// authority does not reach it, another one can. A record is a help and no more: one that is damaged, of another version, or
// cannot be written is as good as none.

import { CERTIFICATE_FAILURES, type CertificateFailureReason } from './certificate-source.ts'
import { readStored, removeStored, writeStored } from './stored-file.ts'

/** A version that reads others must be able to tell them apart. */
const VERSION = 1
/** The longest time that an authority's answer can ask for (acme-answer.ts). A file must not stop renewals for longer. */
const WAIT_MS_MAX = 86_400_000
const RECORD_BYTES_MAX = 4_096
const TEXT_CHARS_MAX = 1_000
/** Beyond it, the wait is the longest one anyway. */
const FAILURES_MAX = 1_000

export interface FailedAttempts {
  /** Since the last success. */
  readonly failureCount: number
  /** When the last one failed; Unix time in milliseconds. */
  readonly atMs: number
  /** How long to wait from then on. */
  readonly waitMs: number
  readonly reason: CertificateFailureReason
  readonly text: string
}

/** Whose attempts a record is of; those of others do not count. */
export interface AttemptsOf {
  /** The authority's directory. */
  readonly directory: string
  /** The relay's public key as text. */
  readonly relay: string
}

/** The content of the file. */
interface Stored extends AttemptsOf, Omit<FailedAttempts, 'atMs'> {
  readonly version: number
  /** For people who look: a date and time. */
  readonly at: string
}

export class AttemptRecord {
  readonly #path: string
  readonly #who: AttemptsOf

  constructor(path: string, who: AttemptsOf) {
    this.#path = path
    this.#who = who
  }

  async read(): Promise<FailedAttempts | undefined> {
    try {
      const text = await readStored(this.#path, RECORD_BYTES_MAX)
      const stored: unknown = text === undefined ? undefined : JSON.parse(text)
      const { directory, relay } = this.#who
      if (!isStored(stored) || stored.directory !== directory || stored.relay !== relay) return undefined
      return attemptsIn(stored)
    } catch {
      return undefined
    }
  }

  async write({ failureCount, atMs, waitMs, reason, text }: FailedAttempts): Promise<void> {
    const record: Stored = {
      version: VERSION,
      ...this.#who,
      failureCount: Math.min(failureCount, FAILURES_MAX),
      at: new Date(atMs).toISOString(),
      waitMs: Math.min(waitMs, WAIT_MS_MAX),
      reason,
      text: text.slice(0, TEXT_CHARS_MAX),
    }
    await writeStored(this.#path, `${JSON.stringify(record)}\n`).catch(() => undefined)
  }

  /** After a success. */
  async clear(): Promise<void> {
    await removeStored(this.#path).catch(() => undefined)
  }
}

function attemptsIn({ at, failureCount, reason, text, waitMs }: Stored): FailedAttempts {
  return { failureCount, atMs: Date.parse(at), waitMs, reason, text }
}

function isStored(value: unknown): value is Stored {
  if (typeof value !== 'object' || value === null) return false
  const { version, at, failureCount, reason, text, waitMs } = value as Partial<Stored>
  return (
    version === VERSION &&
    typeof at === 'string' &&
    Number.isFinite(Date.parse(at)) &&
    isWithin(failureCount, 1, FAILURES_MAX) &&
    isWithin(waitMs, 0, WAIT_MS_MAX) &&
    CERTIFICATE_FAILURES.some((known) => known === reason) &&
    typeof text === 'string'
  )
}

function isWithin(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && value >= min && value <= max
}
