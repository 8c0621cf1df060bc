// What one relay thread counts, as plain numbers in shared memory that the control thread reads when it is
// scraped. Gauges are counters that also fall. No labels, no hashing, no allocation; which metric a number
// becomes is decided where metrics are made.

import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import { DROP_REASON_LABELS, DropReason, PACKET_KIND_LABELS, PacketKind } from './drop-reason.ts'
import { END_REASONS, EndReason } from './end-reason.ts'

const PLAIN = [
  // connections
  'connectionsAccepted',
  'connectionsRejected', //  over the accept limit
  'connectionsOutOfDescriptors', // there was no descriptor for them
  'connectionsCurrent', //   gauge: sessions in any phase
  'webSocketsAccepted',
  'handshakesTls12',
  'handshakesTls13',
  'handshakesTimedOut', //   failed ones, by why: this and the next four
  'handshakesNotTls', //     what came first is no TLS
  'handshakesLeft', //       the remote ended the connection
  'handshakesBroken', //     TLS found something wrong, or the remote did
  'handshakesCrowdedOut', // they took long, and others wanted their room
  'tlsUseless', //           connections whose records brought no data
  'tlsCurrent12', //         gauge: TLS connections, for their whole life
  'tlsCurrent13', //         gauge
  'headsRefused', //         connections that sent no usable HTTP head
  'fastStarts',
  // sessions
  'clientsCurrent', //       gauge: logged in
  'clientsHome', //          gauge: this relay is their home
  'clientsNotIdeal', //      gauge: on another node than the first of the region
  'clientsWebSocket', //     gauge
  'clientsProber', //        gauge
  'watchersCurrent', //      gauge: mesh subscribers
  'keysCurrent', //          gauge: distinct keys, each counted by one thread
  'keysAway', //             gauge: distinct keys known at siblings and not here, counted by the first thread
  'duplicateKeys', //        gauge
  'duplicateSessions', //    gauge: all members of duplicate sets
  'duplicatesTotal', //      registrations that met an existing one
  'homeMovesIn',
  'homeMovesOut',
  'loginsTotal',
  'admissionsAllowed',
  'admissionsDenied',
  'admissionsUnreachable', // refused, since nobody could say
  'admissionsFailedOpen', //  admitted, since nobody could say
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
  'lookupsFound', //         keys that the directory was asked for, with a packet waiting
  'lookupsFailed',
  'crossedIn', //            from other threads of this relay
  'crossedOut',
  'queuedPackets', //        gauge: waiting in outboxes
  'queuedBytes', //          gauge: the same, in bytes of whole frames
  'waitingBytes', //         gauge: memory lent for packets, halves of frames and input that is held back
  // control frames
  'pingsReceived',
  'pongsSent',
  'keepAlivesSent',
  'peerGoneDisconnected',
  'peerGoneNotHere',
  'unknownFrames',
  'rateLimitWaits',
  'writeStalls',
  'sweeps', //               how often this thread came to its timers
  // wire
  'wireBytesIn',
  'wireBytesOut',
] as const
export type PlainCounter = (typeof PLAIN)[number]

/** Those that also fall: what is there now. */
export const GAUGES = [
  'connectionsCurrent',
  'tlsCurrent12',
  'tlsCurrent13',
  'clientsCurrent',
  'clientsHome',
  'clientsNotIdeal',
  'clientsWebSocket',
  'clientsProber',
  'watchersCurrent',
  'keysCurrent',
  'keysAway',
  'duplicateKeys',
  'duplicateSessions',
  'queuedPackets',
  'queuedBytes',
  'waitingBytes',
] as const satisfies readonly PlainCounter[]

/** Upper bounds of each histogram's buckets, in seconds; one more bucket takes the rest. */
export const HISTOGRAM_BOUNDS = {
  /** From enqueueing the oldest frame of a write to handing it to the system. */
  queueDelay: [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2],
  /** From accepting a session to having sent its ServerInfo. */
  login: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  /** From asking for admission to the answer, waiting for a turn included. */
  admission: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
  /** How much later than it should a thread came to its timers. */
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
/** Each histogram: its buckets, the one for the rest, then the sum. */
const HISTOGRAM_AT: Record<HistogramName, number> = {
  queueDelay: reserve(HISTOGRAM_BOUNDS.queueDelay.length + 2),
  login: reserve(HISTOGRAM_BOUNDS.login.length + 2),
  admission: reserve(HISTOGRAM_BOUNDS.admission.length + 2),
  loopLag: reserve(HISTOGRAM_BOUNDS.loopLag.length + 2),
}
const COUNT = next

/** Where each plain counter lies. */
export const Counter = Object.freeze(
  Object.fromEntries(PLAIN.map((name, at) => [name, at])) as Record<PlainCounter, number>,
)

export interface HistogramSnapshot {
  /** Observations per bucket, not cumulative; the last is beyond all bounds. */
  readonly counts: readonly number[]
  readonly sum: number
}

export class Counters {
  readonly #values: Float64Array

  /** @param memory as `Counters.memory()` makes it; a fresh one counts from zero */
  constructor(memory: SharedArrayBuffer = Counters.memory()) {
    this.#values = new Float64Array(memory)
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(COUNT * Float64Array.BYTES_PER_ELEMENT)
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
   * The thread that counted here has died. What was there is gone: its sessions have ended, its queued packets are
   * dropped, of which nobody knows the kind any more; they count as data, as nearly all are.
   */
  endOfThread(): void {
    const [packets, bytes] = [this.get('queuedPackets'), this.get('queuedBytes')]
    const droppedAt = DropReason.goneDisconnected * KINDS + PacketKind.data
    this.add(DROPPED_PACKETS_AT + droppedAt, packets)
    // It may have died between counting a packet and counting its bytes.
    const payloadBytes = Math.max(0, bytes - packets * (HEADER_BYTES + KEY_BYTES))
    this.add(DROPPED_BYTES_AT + droppedAt, payloadBytes)
    this.add(ENDED_AT + END_REASONS.indexOf(EndReason.threadLost), this.get('connectionsCurrent'))
    for (const name of GAUGES) this.#values[Counter[name]] = 0
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

  /** Sets everything to what all of `parts` sum to: several threads as one relay. */
  sumOf(parts: readonly Counters[]): this {
    this.#values.fill(0)
    for (const part of parts) {
      for (let at = 0; at < COUNT; at++) this.add(at, part.#values[at] as number)
    }
    return this
  }
}
