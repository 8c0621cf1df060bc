// The counters of one relay thread: plain numbers in shared memory, written by that thread, read by the control thread
// when metrics are scraped. Gauges are counters that also fall. No labels, no hashing, no allocation; ops/ decides
// which metric a number becomes.

import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import { DROP_REASON_LABELS, DropReason, PACKET_KIND_LABELS, PacketKind } from './drop-reason.ts'
import { END_REASONS, EndReason } from './end-reason.ts'

const PLAIN = [
  // connections
  'connectionsAccepted',
  'connectionsRejected', //  over the accept limit
  'addressRefusedConnections', // over the rate of their address: this and the next two
  'addressRefusedLogins',
  'addressRefusedBanned', //  connections and logins of addresses that are refused for a while
  'addressBansConnections', // addresses that went on beyond their rate of connections, or of logins
  'addressBansLogins',
  'addressesBanned', //      gauge: addresses that are refused now, counted by the first thread
  'connectionsOutOfDescriptors', // no file descriptor was left for them
  'connectionsOutOfMemory', //      the process had too little memory for them
  'connectionsCurrent', //   gauge: sessions in any phase
  'webSocketsAccepted',
  'handshakesTls12',
  'handshakesTls13',
  'handshakesTimedOut', //   failed handshakes by reason: this and the next five
  'handshakesNotTls', //     the first bytes were not TLS
  'handshakesLeft', //       the remote ended the connection
  'handshakesBroken', //     either side reported a TLS error
  'handshakesCrowdedOut', // the oldest pending ones, aborted to make room for others
  'handshakesUncertified', // the relay has no certificate yet
  'tlsUseless', //           connections ended because their records carried no data
  'tlsCurrent12', //         gauge: TLS connections, for their whole life
  'tlsCurrent13', //         gauge
  'headsRefused', //         connections that sent no usable HTTP head
  'fastStarts',
  // sessions
  'clientsCurrent', //       gauge: logged in
  'clientsHome', //          gauge: this relay is their home
  'clientsNotIdeal', //      gauge: connected here although another node is their ideal one
  'clientsWebSocket', //     gauge
  'clientsProber', //        gauge
  'siblingsCurrent', //      gauge: sessions of siblings, among those of clientsCurrent
  'watchersCurrent', //      gauge: mesh subscribers
  'keysCurrent', //          gauge: distinct keys; each is counted by one thread
  'keysAtSiblings', //       gauge: distinct keys at siblings and not here, counted by the first thread
  'duplicateKeys', //        gauge: keys with several sessions
  'duplicateSessions', //    gauge: the sessions of those keys
  'duplicatesTotal', //      logins with a key that had a session already
  'duplicatesTold', //       times that clients of one key were told of each other
  'homeMovesIn',
  'homeMovesOut',
  'loginsTotal',
  'admissionsAllowed',
  'admissionsFromMemory', // the back end could not be asked, and had admitted the key before
  'admissionsDenied',
  'admissionsByOperator', // refused because an operator denies the key
  'admissionsUnreachable', // refused because the back end could not be asked
  'admissionsFailedOpen', //  admitted although the back end could not be asked
  // packets; bytes are payload bytes
  'receivedData',
  'receivedDisco',
  'receivedBytesData',
  'receivedBytesDisco',
  'sentData',
  'sentDisco',
  'sentBytesData',
  'sentBytesDisco',
  'forwardedIn', //          from siblings, for delivery here
  'forwardedOut', //         to siblings
  'forwardedOutBytes',
  'lookupsFound', //         of keys looked up in the directory for a packet
  'lookupsFailed',
  'receivedFromThreads', //  packets from other threads of this relay
  'sentToThreads',
  'queuedPackets', //        gauge: waiting in outboxes
  'queuedBytes', //          gauge: the same, in bytes of whole frames
  'waitingBytes', //         gauge: memory lent for packets, incomplete frames and paused input
  // control frames
  'pingsReceived',
  'pongsSent',
  'keepAlivesSent',
  'peerGoneDisconnected',
  'peerGoneNotHere',
  'unknownFrames',
  'relayStatesRefused', //   states of siblings that came too often
  'closePeersRefused', //    of siblings that may not end clients
  'rateLimitWaits',
  'writeStalls',
  // drain
  'drainMoved', //           clients that were sent everything and then ended their side
  'drainForced', //          clients that were cut off
  'drainLeft', //            clients that left by themselves during the drain
  'handOffHeld', //          packets held for clients that a drain has moved, here or at a sibling
  'handOffSent', //          of those, sent to where the client came back
  'writeTurns', //           turns of the event loop that ended with a look at what is to be written
  'sweeps', //               timer sweeps of this thread; a number that stands still means that it hangs
  // wire
  'wireBytesIn',
  'wireBytesOut',
] as const
export type PlainCounter = (typeof PLAIN)[number]

/** The counters that also fall: they show what is there now. */
export const GAUGES = [
  'addressesBanned',
  'connectionsCurrent',
  'tlsCurrent12',
  'tlsCurrent13',
  'clientsCurrent',
  'clientsHome',
  'clientsNotIdeal',
  'clientsWebSocket',
  'clientsProber',
  'siblingsCurrent',
  'watchersCurrent',
  'keysCurrent',
  'keysAtSiblings',
  'duplicateKeys',
  'duplicateSessions',
  'queuedPackets',
  'queuedBytes',
  'waitingBytes',
] as const satisfies readonly PlainCounter[]

/** Upper bounds of each histogram's buckets, in seconds; one more bucket counts larger values. */
export const HISTOGRAM_BOUNDS = {
  /** From enqueueing the oldest frame of a write to handing it to the system. */
  queueDelay: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2],
  /** From accepting a session to having sent its ServerInfo. */
  login: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  /** From the request for admission to the answer, including the wait for a turn. */
  admission: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  /** Smallest round trips of clients, each read about once a minute; derper's bounds. */
  roundTrip: [0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5],
  /** How late timer sweeps were. */
  loopLag: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
} as const
export type HistogramName = keyof typeof HISTOGRAM_BOUNDS

let next = PLAIN.length
const reserve = (count: number): number => {
  const at = next
  next += count
  return at
}
const KINDS = PACKET_KIND_LABELS.length
const DROPPED_PACKETS_AT = reserve(DROP_REASON_LABELS.length * KINDS)
const DROPPED_BYTES_AT = reserve(DROP_REASON_LABELS.length * KINDS)
const ENDED_AT = reserve(END_REASONS.length)
/** Of each histogram: its buckets, the one for larger values, then the sum. */
const HISTOGRAM_AT: Record<HistogramName, number> = {
  queueDelay: reserve(HISTOGRAM_BOUNDS.queueDelay.length + 2),
  login: reserve(HISTOGRAM_BOUNDS.login.length + 2),
  admission: reserve(HISTOGRAM_BOUNDS.admission.length + 2),
  roundTrip: reserve(HISTOGRAM_BOUNDS.roundTrip.length + 2),
  loopLag: reserve(HISTOGRAM_BOUNDS.loopLag.length + 2),
}
const COUNT = next

/** What each number is called between two versions of this program; a bucket by its bound. */
const NAMES: readonly string[] = [
  ...PLAIN,
  ...dropNames('dropped'),
  ...dropNames('dropped_bytes'),
  ...END_REASONS.map((reason) => `ended ${reason}`),
  ...Object.entries(HISTOGRAM_BOUNDS).flatMap(([name, bounds]) =>
    [...bounds.map((bound) => `le ${bound}`), 'more', 'sum'].map((bucket) => `${name} ${bucket}`),
  ),
]

const AT_NAME: ReadonlyMap<string, number> = new Map(NAMES.map((name, at) => [name, at]))

/** Where another version's bucket counts here; undefined if the name is not that of a bucket. */
function largerBucketOf(name: string): number | undefined {
  const [histogram = '', le, bound, ...more] = name.split(' ')
  const seconds = Number(bound)
  if (le !== 'le' || more.length > 0 || !isHistogram(histogram) || Number.isNaN(seconds)) return undefined
  const bounds: readonly number[] = HISTOGRAM_BOUNDS[histogram]
  const bucket = bounds.findIndex((one) => one >= seconds)
  return HISTOGRAM_AT[histogram] + (bucket < 0 ? bounds.length : bucket)
}

function isHistogram(name: string): name is HistogramName {
  return Object.hasOwn(HISTOGRAM_BOUNDS, name)
}

function dropNames(prefix: string): string[] {
  return DROP_REASON_LABELS.flatMap((reason) =>
    PACKET_KIND_LABELS.map((kind) => `${prefix} ${reason} ${kind}`),
  )
}

/** Numbers by their names; those that are not named are zero. */
export type CounterSnapshot = Readonly<Record<string, number>>

/** The index of each plain counter. */
export const Counter = Object.freeze(
  Object.fromEntries(PLAIN.map((name, at) => [name, at])) as Record<PlainCounter, number>,
)

export interface HistogramSnapshot {
  /** Observations per bucket, not cumulative; the last is beyond all bounds. */
  readonly counts: readonly number[]
  readonly sum: number
}

export class Counters {
  readonly #values: Float64Array<SharedArrayBuffer>

  /** @param memory from `Counters.memory()`; new memory counts from zero */
  constructor(memory: SharedArrayBuffer = Counters.memory()) {
    this.#values = new Float64Array(memory)
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(COUNT * Float64Array.BYTES_PER_ELEMENT)
  }

  /** For another thread that is to count here. */
  get memory(): SharedArrayBuffer {
    return this.#values.buffer
  }

  add(at: number, amount: number): void {
    this.#values[at] = (this.#values[at] as number) + amount
  }

  set(at: number, value: number): void {
    this.#values[at] = value
  }

  get(name: PlainCounter): number {
    return this.#values[Counter[name]] as number
  }

  countDrop(reason: DropReason, kind: PacketKind, bytes: number): void {
    this.add(DROPPED_PACKETS_AT + reason * KINDS + kind, 1)
    this.add(DROPPED_BYTES_AT + reason * KINDS + kind, bytes)
  }

  droppedPackets(reason: DropReason, kind: PacketKind): number {
    return this.#values[DROPPED_PACKETS_AT + reason * KINDS + kind] as number
  }

  droppedBytes(reason: DropReason, kind: PacketKind): number {
    return this.#values[DROPPED_BYTES_AT + reason * KINDS + kind] as number
  }

  countEnd(reason: EndReason): void {
    this.add(ENDED_AT + END_REASONS.indexOf(reason), 1)
  }

  ended(reason: EndReason): number {
    return this.#values[ENDED_AT + END_REASONS.indexOf(reason)] as number
  }

  /**
   * The thread that counted here has died, so the control thread may write. Its sessions have ended and its queued
   * packets are dropped. Their kinds are not known any more; they count as data, as nearly all are.
   */
  endOfThread(): void {
    const [packets, bytes] = [this.get('queuedPackets'), this.get('queuedBytes')]
    const droppedAt = DropReason.goneDisconnected * KINDS + PacketKind.data
    this.add(DROPPED_PACKETS_AT + droppedAt, packets)
    // The thread may have died between counting a packet and counting its bytes.
    const payloadBytes = Math.max(0, bytes - packets * (HEADER_BYTES + KEY_BYTES))
    this.add(DROPPED_BYTES_AT + droppedAt, payloadBytes)
    this.add(ENDED_AT + END_REASONS.indexOf(EndReason.threadLost), this.get('connectionsCurrent'))
    this.clearGauges()
  }

  observe(name: HistogramName, seconds: number): void {
    const bounds: readonly number[] = HISTOGRAM_BOUNDS[name]
    let bucket = 0
    while (bucket < bounds.length && seconds > (bounds[bucket] as number)) bucket++
    const at = HISTOGRAM_AT[name]
    this.add(at + bucket, 1)
    this.add(at + bounds.length + 1, seconds)
  }

  histogram(name: HistogramName): HistogramSnapshot {
    const at = HISTOGRAM_AT[name]
    const buckets = HISTOGRAM_BOUNDS[name].length + 1
    return {
      counts: Array.from(this.#values.subarray(at, at + buckets)),
      sum: this.#values[at + buckets] as number,
    }
  }

  /** Every number that is not zero. */
  snapshot(): CounterSnapshot {
    const named = NAMES.map((name, at): [string, number] => [name, this.#values[at] as number])
    return Object.fromEntries(named.filter(([, value]) => value !== 0))
  }

  /**
   * Sets every number to that of the snapshot, and those that it does not name to zero. Names of another version that are not
   * known here are not read, but for a bucket that this version does not have: it counts in the next larger one.
   */
  restore(snapshot: CounterSnapshot): void {
    this.#values.fill(0)
    for (const [name, value] of Object.entries(snapshot)) {
      const at = AT_NAME.get(name) ?? largerBucketOf(name)
      if (at !== undefined && value > 0) this.add(at, value)
    }
  }

  /** What was there is not any more. */
  clearGauges(): void {
    for (const name of GAUGES) this.#values[Counter[name]] = 0
  }

  /** Sets every number to the sum of `parts`: several threads as one relay. */
  sumOf(parts: readonly Counters[]): this {
    this.#values.fill(0)
    for (const part of parts) {
      for (let at = 0; at < COUNT; at++) this.add(at, part.#values[at] as number)
    }
    return this
  }
}
