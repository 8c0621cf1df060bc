// A part of a thread's clients, packed for the control thread: numbers in one array and bytes in another, a row of each for a
// client. Plain data that survives structured cloning. Reads what sessions count anyway and changes nothing; who asks, and
// what is made of it, is not known here.

import { KEY_BYTES } from '#protocol/limits.ts'
import { IP_BYTES } from '#protocol/ip-address.ts'
import type { ClientIdentity } from './client-identity.ts'
import { LOCAL, type Peer } from './peer.ts'
import type { Link, RemoteAddress, Tally } from './ports.ts'
import type { Recipient } from './recipient.ts'

/** The numbers of a row, by their place. Bytes are payload bytes, but for those of the wire. */
export const ClientNumber = {
  /** Of the connections of its thread. */
  number: 0,
  /** Unix ms. */
  sinceMs: 1,
  receivedPackets: 2,
  receivedBytes: 3,
  sentPackets: 4,
  sentBytes: 5,
  /** For this client, and not delivered. */
  dropped: 6,
  queuedPackets: 7,
  queuedBytes: 8,
  /** Keys whose packets it was given. */
  senders: 9,
  wireReceivedBytes: 10,
  wireSentBytes: 11,
  flags: 12,
  version: 13,
  port: 14,
  /** When the numbers were read, Unix ms. */
  atMs: 15,
} as const
export type ClientNumber = (typeof ClientNumber)[keyof typeof ClientNumber]
export const NUMBERS_PER_CLIENT = 16
/** Key, then IP address. */
export const BYTES_PER_CLIENT = KEY_BYTES + IP_BYTES

export const ClientFlag = {
  home: 1,
  sibling: 2,
  prober: 4,
  /** Another node is its ideal one. */
  notIdeal: 8,
  webSocket: 16,
  fastStart: 32,
  /** Its key has other connections to this relay. */
  duplicate: 64,
  /** It receives the packets for its key. */
  active: 128,
  /** The thread's table of keys does not have it: a bug in this program. */
  unlisted: 256,
} as const

export interface ClientPart {
  readonly count: number
  readonly numbers: Float64Array
  readonly bytes: Uint8Array
  /** Names that applications give themselves, by row; only those that are not empty. */
  readonly appNames: ReadonlyMap<number, string>
  /** Where the next part begins; 0: this is the last one. */
  readonly next: number
}

/** A session, as far as it is told of. */
export interface ToldSession extends Recipient {
  readonly identity: ClientIdentity | undefined
  readonly peer: Peer | undefined
  readonly remote: RemoteAddress
  readonly acceptedMs: number
  readonly receivedPackets: number
  readonly receivedBytes: number
  readonly outbox: {
    readonly tally: Tally
    readonly waitingPackets: number
    readonly waitingBytes: number
  }
  readonly wire: Pick<Link, 'readInTurn' | 'receivedBytes' | 'sentBytes'>
}

export interface PartOptions<T> {
  readonly next: number
  /** Of the sessions' clock. */
  readonly nowMs: number
  /** The Unix time at which that clock was 0. */
  readonly wallMs: number
  /** Whether the table of keys has it. */
  readonly isListed: (session: T) => boolean
}

/** Those of the sessions that have logged in. */
export function clientPart<T extends ToldSession>(
  sessions: readonly T[],
  { next, nowMs, wallMs, isListed }: PartOptions<T>,
): ClientPart {
  const numbers = new Float64Array(sessions.length * NUMBERS_PER_CLIENT)
  const bytes = new Uint8Array(sessions.length * BYTES_PER_CLIENT)
  const appNames = new Map<number, string>()
  let count = 0
  for (const session of sessions) {
    const { identity, peer, remote } = session
    if (identity === undefined || peer === undefined || !session.isEstablished) continue
    const at = count * NUMBERS_PER_CLIENT
    writeTraffic(numbers, at, session)
    numbers[at + ClientNumber.number] = identity.number
    numbers[at + ClientNumber.sinceMs] = wallMs + session.acceptedMs
    numbers[at + ClientNumber.flags] =
      flagsOf(identity) | flagsAt(peer, session) | (isListed(session) ? 0 : ClientFlag.unlisted)
    numbers[at + ClientNumber.version] = identity.version
    numbers[at + ClientNumber.port] = remote.port
    numbers[at + ClientNumber.atMs] = wallMs + nowMs
    bytes.set(identity.key, count * BYTES_PER_CLIENT)
    bytes.set(remote.ip, count * BYTES_PER_CLIENT + KEY_BYTES)
    if (identity.appName !== '') appNames.set(count, identity.appName)
    count++
  }
  return { count, numbers, bytes, appNames, next }
}

function writeTraffic(numbers: Float64Array, at: number, session: ToldSession): void {
  const { outbox, wire, packetSources } = session
  const { packets, bytes, dropped } = outbox.tally
  numbers[at + ClientNumber.receivedPackets] = session.receivedPackets
  numbers[at + ClientNumber.receivedBytes] = session.receivedBytes
  numbers[at + ClientNumber.sentPackets] = packets
  numbers[at + ClientNumber.sentBytes] = bytes
  numbers[at + ClientNumber.dropped] = dropped
  numbers[at + ClientNumber.queuedPackets] = outbox.waitingPackets
  numbers[at + ClientNumber.queuedBytes] = outbox.waitingBytes
  numbers[at + ClientNumber.senders] =
    packetSources === undefined ? 0 : packetSources.size + packetSources.departed
  numbers[at + ClientNumber.wireReceivedBytes] = wire.receivedBytes
  numbers[at + ClientNumber.wireSentBytes] = wire.sentBytes
}

function flagsOf(identity: ClientIdentity): number {
  return (
    (identity.isHome ? ClientFlag.home : 0) |
    (identity.isMesh ? ClientFlag.sibling : 0) |
    (identity.isProber ? ClientFlag.prober : 0) |
    (identity.idealNode === '' ? 0 : ClientFlag.notIdeal) |
    (identity.way === 'websocket' ? ClientFlag.webSocket : 0) |
    (identity.way === 'fast_start' ? ClientFlag.fastStart : 0)
  )
}

function flagsAt(peer: Peer, session: ToldSession): number {
  const isActive = peer.thread === LOCAL && peer.active === session
  return (peer.registrations > 1 ? ClientFlag.duplicate : 0) | (isActive ? ClientFlag.active : 0)
}
