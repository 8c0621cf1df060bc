// What two runs of one relay say to each other over the socket in the state folder, one JSON object a line. The newer run
// asks to join, and later to take over; the older one answers. Frames between their relay threads do not pass here, but over
// the bridge (`worker/run-bridge-thread.ts`).
//
// Contract: formats have numbers. A run says which it understands and the other chooses the newest of both; if there is
// none, it says so. What a later version adds is passed over; what is read is checked, and bounded, and a message of a known
// kind with anything else in it ends the connection. The other side has the same user, but may be another version.

import type { CounterSnapshot } from '#relay/counters.ts'

/** Newest last. Includes the format of the frames on the bridge. */
export const RUN_FORMATS: readonly number[] = [1]
/** A snapshot of all counters takes about ten thousand, and those of a fleet's siblings half of this at most. */
export const LINE_BYTES_MAX = 262_144
const COUNTERS_MAX = 10_000
const THREADS_MAX = 256
const TEXT_CHARS_MAX = 1_000

/** The listeners of a run: the ports on which a newer one may listen, too. */
export type RunPorts = Readonly<Partial<Record<'derp' | 'http' | 'stun' | 'admin', number>>>

/** To the older run. */
export type ToOlderRun =
  | {
      readonly kind: 'join'
      readonly formats: readonly number[]
      readonly version: string
      /** Of the relay. */
      readonly key: string
      readonly pid: number
      readonly threads: number
    }
  /** The newer run serves: the older one is to hand over and to drain. */
  | { readonly kind: 'handOver' }
  /** The link between the threads has broken, and is to be opened again. */
  | { readonly kind: 'link'; readonly threads: number }

/** The threads of the older run, and where its bridge waits. */
export interface ThreadsOffer {
  readonly threads: number
  /** The name of the bridge's socket in the state folder. */
  readonly socket: string
  /** 64 hex digits. */
  readonly token: string
}

export interface Joined extends ThreadsOffer {
  readonly kind: 'joined'
  readonly format: number
  readonly version: string
  readonly run: number
  readonly pid: number
  /** What siblings are told, so that they know that both are one relay. */
  readonly instance: string
  readonly activity: number
  readonly ports: RunPorts
}

export interface Refused {
  readonly kind: 'refused'
  readonly reason: string
  /** It may join in a while. */
  readonly mayRetry: boolean
}

/** To the newer run. */
export type ToNewerRun =
  | Joined
  | Refused
  /** Answers `link`. */
  | ({ readonly kind: 'linked' } & ThreadsOffer)
  /** All that the older run and those before it have counted. */
  | { readonly kind: 'counters'; readonly counters: CounterSnapshot }
  /** The admin port, STUN and HTTP are closed in the older run, and it drains. */
  | { readonly kind: 'handedOver' }
  /** The older run has ended in order. */
  | { readonly kind: 'ended'; readonly counters: CounterSnapshot }

type Fields = Readonly<Record<string, unknown>>

/** A message; else whether it is of a kind that a later version has, or of a known kind with wrong fields. */
export type Reading<Message> = Message | { readonly kind: 'unknown' } | { readonly kind: 'unreadable' }

const UNKNOWN = { kind: 'unknown' } as const
const UNREADABLE = { kind: 'unreadable' } as const

export function readToOlderRun(message: Fields): Reading<ToOlderRun> {
  const { kind, formats, version, key, pid, threads } = message
  if (kind === 'handOver') return { kind }
  if (kind === 'link') return isThreadCount(threads) ? { kind, threads } : UNREADABLE
  if (kind !== 'join') return UNKNOWN
  if (!isList(formats, isNatural) || !isText(version) || !isText(key)) return UNREADABLE
  if (!isNatural(pid) || !isThreadCount(threads)) return UNREADABLE
  return { kind, formats, version, key, pid, threads }
}

export function readToNewerRun(message: Fields): Reading<ToNewerRun> {
  const { kind, counters, reason } = message
  switch (kind) {
    case 'joined':
      return readJoined(message) ?? UNREADABLE
    case 'linked': {
      const offer = readOffer(message)
      return offer === undefined ? UNREADABLE : { kind, ...offer }
    }
    case 'refused':
      return isText(reason) ? { kind, reason, mayRetry: message['mayRetry'] === true } : UNREADABLE
    case 'counters':
    case 'ended':
      return isCounters(counters) ? { kind, counters } : UNREADABLE
    case 'handedOver':
      return { kind }
    default:
      return UNKNOWN
  }
}

function readJoined(message: Fields): Joined | undefined {
  const { format, version, run, pid, instance, activity, ports } = message
  const offer = readOffer(message)
  if (!isNatural(format) || !isText(version) || !isNatural(run) || !isNatural(pid)) return undefined
  if (offer === undefined || !isMatch(instance, /^[\da-f]{1,64}$/) || !Number.isInteger(activity))
    return undefined
  if (!isPorts(ports)) return undefined
  const known = { format, version, run, pid, instance, activity: Number(activity) | 0 }
  return { kind: 'joined', ...known, ...offer, ports }
}

function readOffer({ threads, socket, token }: Fields): ThreadsOffer | undefined {
  if (!isThreadCount(threads)) return undefined
  if (!isMatch(socket, /^[\w-][\w.-]{0,99}$/) || !isMatch(token, /^[\da-f]{64}$/)) return undefined
  return { threads, socket, token }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= TEXT_CHARS_MAX
}

function isMatch(value: unknown, pattern: RegExp): value is string {
  return isText(value) && pattern.test(value)
}

function isNatural(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function isThreadCount(value: unknown): value is number {
  return isNatural(value) && value >= 1 && value <= THREADS_MAX
}

function isList<T>(value: unknown, fits: (one: unknown) => one is T): value is readonly T[] {
  return Array.isArray(value) && value.length <= TEXT_CHARS_MAX && value.every(fits)
}

function isPorts(value: unknown): value is RunPorts {
  return isRecord(value) && Object.values(value).every((port) => isNatural(port) && port <= 65_535)
}

function isCounters(value: unknown): value is CounterSnapshot {
  if (!isRecord(value)) return false
  const numbers = Object.values(value)
  return (
    numbers.length <= COUNTERS_MAX && numbers.every((one) => typeof one === 'number' && Number.isFinite(one))
  )
}

export function isRecord(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
