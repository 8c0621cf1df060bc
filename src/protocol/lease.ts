// A lease: which keys may use the relays of a fleet and until when, signed by whoever decides that. A relay verifies it alone. Makes
// and reads the text; whether its time has come, and whether it is the latest one, is admission/leases.ts's matter.
//
//   derpfleet lease 1
//   serial 1795788000
//   not-before 2026-11-27T14:00:00Z
//   not-after 2026-12-04T14:00:00Z
//   allow nodekey:<64 hex digits> tenant blue until 2026-12-01T00:00:00Z name alice-laptop
//   allow nodekey:<64 hex digits> bytes-per-second 1250000 packets-per-second 2000
//   deny nodekey:<64 hex digits>
//   signature <88 characters of base64>
//
// The signature is Ed25519 over all bytes before its line. Nothing of a lease is looked at before the signature is right.
//
// Contract: fields and lines with other first words are passed over, for later versions. What a relay must not pass over needs
// another number in the first line.

import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from 'node:crypto'
import { ed25519 } from '@noble/curves/ed25519.js'
import { BUDGET_FIELDS, budgetWords, readBudget, type Budget } from './budget.ts'
import { keyName, parsePublicKey, publicKeyText } from './node-key.ts'

const FIRST_LINE = 'derpfleet lease 1'
/** As many as a list of keys may have. */
export const LEASE_KEYS_MAX = 40_000
/** A hundred bytes for each: room for a tenant, or for an end. A Secret of Kubernetes has room for a quarter. */
export const LEASE_BYTES_MAX = 4_194_304
/** Of the last line, with its end. */
const SIGNATURE_LINE = /\nsignature ([A-Za-z0-9+/]{86}==)\n$/
const ENTRY = /^(allow|deny) (nodekey:[0-9a-f]{64})((?: [a-z][a-z-]* [!-~]+)*)$/
const OTHER_LINE = /^[a-z][a-z-]* [ -~]+$/
const TENANT = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/
export const LEASE_NAME_CHARS_MAX = 64
/** What RFC 8410 puts before the 32 bytes of a public key. */
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')
export const LEASE_KEY_EXPECTED =
  '60 characters of base64 as "derpfleet lease keygen" prints them: the line between BEGIN and END of an Ed25519 public key in PEM'
export const LEASE_SIGNING_KEY_EXPECTED =
  'an Ed25519 private key in PEM, as from "derpfleet lease keygen" or "openssl genpkey -algorithm ed25519"'

export interface LeaseEntry {
  readonly key: Uint8Array
  /** False: it is refused, whatever a list or a back end says. */
  readonly isAllowed: boolean
  readonly tenant: string | undefined
  /** When it ends, in Unix milliseconds: with the lease at the latest. */
  readonly untilMs: number
  /** What it may send; undefined: nothing is said of that. */
  readonly budget?: Budget | undefined
  /** For people. */
  readonly name: string | undefined
}

/** What is signed. Times are Unix milliseconds and are written as whole seconds. */
export interface LeaseContent {
  /** Of two leases, the one with the larger serial is the later one. */
  readonly serial: number
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly entries: readonly LeaseEntry[]
}

export interface Lease extends Omit<LeaseContent, 'entries'> {
  /** By `keyName`. */
  readonly entries: ReadonlyMap<string, LeaseEntry>
  /** The public key that has signed it, in the text form of options. */
  readonly signer: string
}

/** Why a text is no lease to go by; completes "FILE …". */
export type LeaseReading = { readonly lease: Lease } | { readonly problem: string }

/** A public key in the text form of options; undefined for a text that is none, and for a key that proves nothing. */
export function parseLeaseKey(text: string): KeyObject | undefined {
  const bytes = Buffer.from(text, 'base64')
  const isKey = bytes.length === 44 && bytes.subarray(0, 12).equals(SPKI_PREFIX)
  if (!isKey || bytes.toString('base64') !== text) return undefined
  try {
    // Under a key of small order there are signatures that are right for any text.
    if (ed25519.Point.fromBytes(bytes.subarray(12)).isSmallOrder()) return undefined
    return createPublicKey({ key: bytes, format: 'der', type: 'spki' })
  } catch {
    return undefined
  }
}

/** The text form of a public key, for options; of a private key, that of its public key. */
export function leaseKeyText(key: KeyObject): string {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  return publicKey.export({ format: 'der', type: 'spki' }).toString('base64')
}

/** The private key in a PEM text, or what is wrong with it. Completes "FILE …". */
export function parseSigningKey(pem: string): { readonly key: KeyObject } | { readonly problem: string } {
  try {
    const key = createPrivateKey(pem)
    return key.asymmetricKeyType === 'ed25519'
      ? { key }
      : { problem: `has a key of type ${key.asymmetricKeyType}` }
  } catch {
    // The reason may quote the key.
    return { problem: 'has no key that can be read' }
  }
}

/** The text of a lease: the same for the same content, in whatever order its entries are. */
export function leaseText(content: LeaseContent, key: KeyObject): string {
  const entries = content.entries.map((entry) => entryLine(entry, content.notAfterMs)).toSorted()
  const lines = [
    FIRST_LINE,
    `serial ${content.serial}`,
    `not-before ${timeText(content.notBeforeMs)}`,
    `not-after ${timeText(content.notAfterMs)}`,
    ...entries,
  ]
  const body = `${lines.join('\n')}\n`
  return `${body}signature ${sign(null, Buffer.from(body), key).toString('base64')}\n`
}

function entryLine(
  { key, isAllowed, tenant, untilMs, budget, name }: LeaseEntry,
  notAfterMs: number,
): string {
  const fields = [
    isAllowed ? 'allow' : 'deny',
    publicKeyText(key),
    ...(tenant === undefined ? [] : ['tenant', tenant]),
    ...(untilMs < notAfterMs ? ['until', timeText(untilMs)] : []),
    ...(budget === undefined ? [] : budgetWords(budget)),
    ...(name === undefined ? [] : ['name', name]),
  ]
  return fields.join(' ')
}

/** @param keys public keys in the text form of options; the signature of any of them counts */
export function readLease(text: string, keys: readonly string[]): LeaseReading {
  if (text.length > LEASE_BYTES_MAX)
    return { problem: `has ${text.length} bytes; expected ${LEASE_BYTES_MAX} at most` }
  if (!text.startsWith('derpfleet lease '))
    return { problem: `is no lease; expected "${FIRST_LINE}" at its start` }
  const found = SIGNATURE_LINE.exec(text.slice(-120))
  const signature = Buffer.from(found?.[1] ?? '', 'base64')
  if (found === null || signature.toString('base64') !== found[1])
    return { problem: 'has no signature at its end; expected a whole file' }
  const body = text.slice(0, text.length - (found[0]?.length ?? 0) + 1)
  const bytes = Buffer.from(body)
  const signer = keys.find((key) => isSignedBy(key, bytes, signature))
  if (signer === undefined)
    return { problem: `is signed by none of the ${keys.length} keys of -lease-key, or was changed since` }
  const version = body.slice(0, body.indexOf('\n'))
  if (version !== FIRST_LINE)
    return {
      problem: `begins with "${version.slice(0, 40)}", a format of a later version; expected "${FIRST_LINE}"`,
    }
  return new LeaseReader(signer).read(body)
}

function isSignedBy(keyText: string, bytes: Uint8Array, signature: Uint8Array): boolean {
  const key = parseLeaseKey(keyText)
  return key !== undefined && verify(null, bytes, key, signature)
}

/** Reads what is signed, line by line. */
class LeaseReader {
  readonly #signer: string
  readonly #fields = new Map<string, number>()
  readonly #entries = new Map<string, LeaseEntry>()

  constructor(signer: string) {
    this.#signer = signer
  }

  read(body: string): LeaseReading {
    let number = 0
    for (const line of body.slice(0, -1).split('\n')) {
      const problem = number++ === 0 ? undefined : this.#add(line)
      if (problem !== undefined) return { problem: `line ${number}: ${problem}` }
      if (this.#entries.size > LEASE_KEYS_MAX) return { problem: `has more than ${LEASE_KEYS_MAX} keys` }
    }
    const [serial, notBeforeMs, notAfterMs] = ['serial', 'not-before', 'not-after'].map((name) =>
      this.#fields.get(name),
    )
    if (serial === undefined || notBeforeMs === undefined || notAfterMs === undefined)
      return { problem: 'lacks a line; expected serial, not-before and not-after' }
    if (notAfterMs <= notBeforeMs) return { problem: 'ends before it begins' }
    return {
      lease: { serial, notBeforeMs, notAfterMs, entries: this.#ending(notAfterMs), signer: this.#signer },
    }
  }

  /** Returns what is wrong with the line. */
  #add(line: string): string | undefined {
    const [, rule, key, more = ''] = ENTRY.exec(line) ?? []
    if (rule !== undefined && key !== undefined) return this.#addEntry(rule === 'allow', key, more)
    const [word = ''] = line.split(' ', 1)
    const value = line.slice(word.length + 1)
    if (word === 'allow' || word === 'deny')
      return `expected "${word} nodekey:<64 hex digits>" and pairs of words`
    const field = word === 'serial' ? serialIn(value) : timeIn(value)
    if (word === 'serial' || word === 'not-before' || word === 'not-after') {
      if (field === undefined) return `${word} is "${value.slice(0, 40)}"`
      if (this.#fields.has(word)) return `a second ${word}`
      this.#fields.set(word, field)
      return undefined
    }
    return OTHER_LINE.test(line) ? undefined : 'expected a word and a value'
  }

  #addEntry(isAllowed: boolean, keyText: string, more: string): string | undefined {
    const key = parsePublicKey(keyText) ?? new Uint8Array()
    const words = more.split(' ').slice(1)
    const fields = new Map<string, string>()
    for (let at = 0; at < words.length; at += 2) {
      const [word = '', value = ''] = words.slice(at, at + 2)
      if (fields.has(word)) return `a second ${word}`
      fields.set(word, value)
    }
    const [tenant, until, name] = ['tenant', 'until', 'name'].map((word) => fields.get(word))
    if (tenant !== undefined && !TENANT.test(tenant)) return `tenant is "${tenant.slice(0, 40)}"`
    const untilMs = until === undefined ? Infinity : timeIn(until)
    if (untilMs === undefined) return `until is "${until?.slice(0, 40)}"`
    const ofBudget = [...fields].filter(([word]) => Object.hasOwn(BUDGET_FIELDS, word)).flat()
    const read = ofBudget.length === 0 ? { budget: undefined } : readBudget(ofBudget)
    if ('problem' in read) return read.problem
    if (this.#entries.has(keyName(key))) return 'this key is in a line above'
    this.#entries.set(keyName(key), { key, isAllowed, tenant, untilMs, budget: read.budget, name })
    return undefined
  }

  #ending(notAfterMs: number): ReadonlyMap<string, LeaseEntry> {
    for (const [name, entry] of this.#entries)
      if (entry.untilMs > notAfterMs) this.#entries.set(name, { ...entry, untilMs: notAfterMs })
    return this.#entries
  }
}

function serialIn(text: string): number | undefined {
  const serial = /^(?:0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN
  return Number.isSafeInteger(serial) ? serial : undefined
}

/** A time as RFC 3339 has it, in UTC and whole seconds, as Unix milliseconds. */
function timeIn(text: string): number | undefined {
  const ms = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) ? Date.parse(text) : Number.NaN
  return Number.isFinite(ms) && timeText(ms) === text ? ms : undefined
}

export function timeText(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z')
}
