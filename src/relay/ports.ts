// What the relay asks of its surroundings, and what they call on it. The interfaces are structural and few: a Link
// carries bytes, OtherThreads reaches the relay's other threads, a ForwardTarget takes packets to a sibling, Admission
// decides on logins, an Observer is told of rare events. Neither sockets nor shared memory appear here. Every call
// happens on a relay thread.

import type { PacketKind } from './drop-reason.ts'
import type { EndReason } from './end-reason.ts'

import type { Budget } from '#protocol/budget.ts'
import type { TenantRule } from '#protocol/tenant-rule.ts'

/** For ops/, which shows the limits and may import nothing below this file. */
export type { RelayLimits } from '#protocol/relay-limits.ts'

/** The far end of a link, as presence names it: sixteen bytes of IP and a port; zero when unknown. */
export interface RemoteAddress {
  readonly ip: Uint8Array
  readonly port: number
}

/**
 * The share that some links have together in what a thread reads while it cannot read all that arrives. Kept by the
 * transport, which reads; `fair-share.ts` says which links have which.
 */
export interface ReadShare {
  /** Beside those of other shares. */
  readonly weight: number
  /** Bytes that may be read in this pass over all links; less than 0 if more was read. */
  creditBytes: number
  /** The pass in which it got credit last. */
  pass: number
}

/**
 * An ordered byte pipe to one remote, as the relay uses it. The session's `written()` is called once for each burst
 * (writes up to and including `isLast`), when the system has taken it. After `close` or `destroy` the link calls
 * nothing but, once, `closed`.
 */
export interface Link {
  readonly remote: RemoteAddress
  readonly isWebSocket: boolean
  /**
   * The bytes must stay untouched until `written()`, unless the burst's last call returns true: then the whole burst
   * has been encrypted or copied, and its memory may be used again at once.
   */
  write(bytes: Uint8Array, isLast: boolean): boolean
  /** It carries the packets of many clients: several that arrive at once need not be willing to wait for each other. */
  becomeTrunk(): void
  /** Its remote has logged in. Reads as one of those that have this share; undefined: as one with a share of its own. */
  readAs(share: ReadShare | undefined): void
  /** Whether it is one of many of one remote, which are read one after another. */
  readInTurn(isInTurn: boolean): void
  /** The smallest round trip of the connection below within the last minutes; 0 or less if it is not known. */
  readonly roundTripSeconds: number
  /** Stops reading; bytes that were already received may still arrive. */
  pause(): void
  resume(): void
  /** Bytes of the connection below so far, those of TLS included where the transport can tell. */
  readonly receivedBytes: number
  readonly sentBytes: number
  /** Sends the bytes that were written, then this side's end; what the remote sends until it ends is still received. */
  finish(): void
  /** Sends the bytes that were written, then ends. */
  close(): void
  /** Ends at once. */
  destroy(): void
}

/** What the relay does with the bytes of one link; the transport calls these. */
export interface LinkListener {
  /** Bytes have arrived: chunk[start, end), borrowed for the call, and may be changed during it. */
  receive(chunk: Buffer, start: number, end: number): void
  /** The burst has been taken by the system. */
  written(): void
  /** The remote or the transport ended the link. */
  closed(reason: EndReason): void
}

/** A packet in hand, borrowed for the call: its destination's key at [start, start + 32), itself at [packetAt, end). */
export interface AddressedPacket {
  readonly buffer: Buffer
  readonly start: number
  readonly packetAt: number
  readonly end: number
  readonly kind: PacketKind
  /** A sibling forwarded it, or a thread that its destination had left passed it on: neither is done again. */
  readonly isForwarded: boolean
}

/**
 * The relay's other threads, as this one uses them. What a thread writes to another arrives in order, so a packet never
 * overtakes the presence of its sender.
 */
export interface OtherThreads {
  /** This thread's number, from 0. */
  readonly index: number
  /** How many other threads there are now. */
  readonly count: number
  /** From now on what the other threads write is given to `listener`; called once, before any other call. */
  connect(listener: ThreadListener): void

  /** The next number of the count of activity that all threads share; it wraps around. */
  nextActivity(): number
  /** A session of a key has registered on this thread, with that activity number. */
  present(presentFrame: Uint8Array, activity: number): void
  /** This thread's session of `key` has become active. */
  active(key: Uint8Array, activity: number): void
  /** The last session of `key` on this thread has ended. */
  gone(key: Uint8Array): void
  /** A client of `key` on this thread has noted this relay as its home, or none of them does any more. */
  home(key: Uint8Array, isHome: boolean): void
  /** The key's session on this thread is about to end because of a drain. */
  leaving(key: Uint8Array): void
  /** Asks the other threads to end their sessions of `key`. */
  closePeer(key: Uint8Array): void

  /** Hands a packet over to `thread`; the keys are borrowed for the call. Returns false if there is no room for it. */
  sendPacket(
    thread: number,
    destinationKey: Uint8Array,
    sourceKey: Uint8Array,
    packet: AddressedPacket,
  ): boolean
  /** Whether senders to `thread` should pause, because it does not keep up with what is written to it. */
  isPressed(thread: number): boolean
  /** Calls `resume` when there is room again at a thread that is pressed, or when waiting for room is pointless. */
  whenRoom(thread: number, resume: () => void): void

  /** Reads all that the other threads have written. Returns false if there are none, or if a drain is under way. */
  drain(): boolean
  readonly isDraining: boolean
  /**
   * Wakes the threads that were written to, and lets this one be woken again. To be called once per turn of the loop.
   * Returns whether something waits for room at another thread, so that it must be called again soon.
   */
  endTurn(): boolean
  /** Whether this thread reads every millisecond from now on, woken or not. */
  setPolling(isPolling: boolean): void
  /** While set, what is written comes of a poll round, and may wait for another thread's own next round. */
  isInRound: boolean
}

/** What the relay does with what the other threads write; interthread/ calls these. */
export interface ThreadListener {
  readonly presence: RemotePresenceListener
  readonly packets: ThreadPacketListener
  /** Reads what the other threads have written: `OtherThreads.drain`, with what must come before and after it. */
  readThreads(): void
  /** Asks for a call of `OtherThreads.endTurn` at the end of this turn of the loop. */
  wake(): void
}

/** Which keys are connected to the other threads. */
export interface RemotePresenceListener {
  peerPresent(thread: number, key: Uint8Array, presentFrame: Uint8Array, activity: number): void
  peerActive(thread: number, key: Uint8Array, activity: number): void
  peerGone(thread: number, key: Uint8Array): void
  /** A drain is about to end the key's session on another thread. */
  peerLeaving(key: Uint8Array): void
  homeChanged(thread: number, key: Uint8Array, isHome: boolean): void
  /** Every key that is connected to `thread` follows, known or not, until `syncFinished`. */
  syncStarted(thread: number): void
  /** Keys of `thread` that were not named since `syncStarted` have left. */
  syncFinished(thread: number): void
  /** The thread has ended, and all that it wrote has been read. */
  threadEnded(thread: number): void
  /** Ends this thread's sessions of `key`. */
  closePeer(key: Uint8Array): void
  /** The keys that are connected to this thread, for a full presence sync. */
  connectedKeys(): readonly ConnectedKey[]
}

/** A key that was connected to this thread when it was listed; the fields change as its sessions do. */
export interface ConnectedKey {
  readonly key: Uint8Array
  /** Its active session on this thread; undefined when the last one has ended. */
  readonly active: { readonly presentFrame: Uint8Array; readonly activity: number } | undefined
  /** A client of this key on this thread has noted this relay as its home. */
  readonly isHomeHere: boolean
}

/** Packets between threads: destination key, source key and packet at [start, end), borrowed, may be changed. */
export interface ThreadPacketListener {
  /** A packet for a key that was connected to this thread; `isForwarded` as in `AddressedPacket`. */
  fromThread(buffer: Buffer, start: number, end: number, isForwarded: boolean): void
  /** A packet that was written to a thread and not read before that thread ended. */
  lostWithThread(buffer: Buffer, start: number, end: number): void
}

/** Another relay, as the way to the keys that are connected there. */
export interface ForwardTarget {
  /** It has said that its clients leave it, and those that leave are announced by others when they are back. */
  readonly isDraining: boolean
  /** Takes the packet over: it is delivered there, or dropped and counted. Never refuses. */
  forward(packet: AddressedPacket, sourceKey: Uint8Array, nowMs: number): void
}

/** A client that sends to a key without a route. */
export interface LookupOwner {
  readonly key: Uint8Array
  /** Whether it may have one more key looked up now; uses up one of its lookups. */
  mayLookUp(nowMs: number): boolean
}

/** Where the keys are that are not connected to this relay. */
export interface Routes {
  /** The sibling that packets for the key bytes[at, at + 32) go to; undefined: nowhere. */
  find(bytes: Uint8Array, at: number): ForwardTarget | undefined
  /**
   * Takes over a packet for a key without a route until the key has been looked up. Returns false if a lookup is
   * pointless.
   */
  lookUp(packet: AddressedPacket, owner: LookupOwner, nowMs: number): boolean
  /** Keys that have a route. */
  readonly size: number
}

/** What the relay does when the route of a key changes; the mesh calls this. */
export interface RouteListener {
  /** The route of the key bytes[at, at + 32) has changed; undefined: no sibling has the key any more. */
  routeChanged(bytes: Uint8Array, at: number, route: ForwardTarget | undefined): void
}

/** Of a relay without siblings. */
export const NO_ROUTES: Routes = { find: () => undefined, lookUp: () => false, size: 0 }

/** The frames that wait to leave for one sibling: an outbox that frames packets as ForwardPacket. */
export interface SiblingOutbox {
  offerForward(packet: AddressedPacket, sourceKey: Uint8Array, nowMs: number): void
  /** Queues a frame that must not be lost. Returns false if too many wait. */
  offerControl(frame: Uint8Array, nowMs: number): boolean
  /** Writes one burst of the frames that wait, unless one is in flight. */
  flush(link: Pick<Link, 'write'>, nowMs: number): void
  /** The burst has been taken by the system. */
  written(): void
  /** Drops packets that have waited for too long to be of use. */
  dropAged(nowMs: number): void
  /** Gives up everything that waits: packets have their way looked for once more, and the rest is dropped. */
  close(): void
  /** When the burst in flight was begun; undefined when none is. */
  readonly writingSinceMs: number | undefined
  /** Bytes of packets that wait. */
  readonly waitingBytes: number
  /** What has happened since the last call. */
  takeTally(): Tally
}

export interface Tally {
  /** Packets that have left, and their bytes. */
  readonly packets: number
  readonly bytes: number
  readonly dropped: number
  /** How long a packet waited at most. */
  readonly delayMs: number
}

/** An outbox's owner, which writes at the end of a turn. */
export interface Flushable {
  flush(): void
}

/** A login that waits for a decision. */
export interface AdmissionRequest {
  readonly key: Uint8Array
  readonly remote: RemoteAddress
  /** The time for waiting and asking together; afterwards the answer is not used any more. */
  readonly withinMs: number
  /** The client is here already, and is asked about again. */
  readonly isHere: boolean
}

export interface AdmissionAnswer {
  /**
   * When the back end cannot be asked, a client that it has admitted before is admitted from `memory`; for others the operator's
   * setting decides: `unreachable` refuses, `failed_open` admits.
   */
  readonly result: 'allowed' | 'memory' | 'denied' | 'denied_by_operator' | 'unreachable' | 'failed_open'
  /** For the log; empty if there is nothing to add. */
  readonly reason: string
  /** `unreachable` only because the time for a login had passed. */
  readonly isLate?: boolean
  /** What the key may send; undefined: as much as all others. */
  readonly budget?: Budget | undefined
  /** After this time it is asked again. Infinite: only when what admission goes by changes. Undefined: never. */
  readonly recheckInMs?: number
}

/** A request for admission under way. */
export interface PendingAdmission {
  /** The answer is not needed any more. Harmless after it was given. */
  cancel(): void
}

/** Decides on logins. Calls `decide` at most once, at once or later, and never after `cancel`. Never throws. */
export interface Admission {
  ask(request: AdmissionRequest, decide: (answer: AdmissionAnswer) => void): PendingAdmission
}

/** The keys that have a tenant. Numbers have no meaning beyond a roster: equal ones are one tenant. */
export interface TenantRoster {
  /** One after another. */
  readonly keys: Uint8Array
  /** Of each key; from 1. */
  readonly tenants: Uint32Array
  /** Packets pass within a tenant only. */
  readonly areApart: boolean
  /** Of each tenant, the first one's first; their budgets are those of one thread. */
  readonly rules: readonly TenantRule[]
  /** What this thread has sent to the clients of each tenant, by number; undefined: it is not counted. */
  readonly sentBytes?: Float64Array | undefined
}

/** A logged-in client, as whoever counts round trips sees it. */
export interface MeasuredClient {
  readonly key: Uint8Array
  readonly remote: RemoteAddress
  /** It has noted this relay as its home. */
  readonly isHome: boolean
}

/** Is told of rare events: a few calls per session and minute at most, never one per packet. */
export interface Observer {
  /** The round trip of a client's connection was read, about once a minute for each. */
  roundTripRead(client: MeasuredClient, seconds: number): void
  /** A client of `key` on this thread has noted this relay as its home, or none of them does any more. */
  homeChanged(key: Uint8Array, isHome: boolean): void
  /** A session has proven a key and is admitted. */
  sessionStarted(event: SessionStart): void
  sessionEnded(event: SessionEnd): void
  /** An address went on beyond its rate, and is refused for so long. */
  addressBanned(ip: Uint8Array, reason: 'connections' | 'logins', forMs: number): void
  /** A sibling tells its state. Both arrays are borrowed; the key is proven, the state is not checked. */
  relayState(key: Uint8Array, state: Uint8Array): void
}

export interface SessionStart {
  readonly key: Uint8Array
  readonly remote: RemoteAddress
  readonly way: 'derp' | 'fast_start' | 'websocket'
  readonly kind: 'client' | 'prober' | 'sibling'
  /** The name that the application gives itself; empty if it gives none. */
  readonly appName: string
}

export interface SessionEnd {
  readonly reason: EndReason
  readonly remote: RemoteAddress
  /** Undefined when the session never proved a key. */
  readonly key: Uint8Array | undefined
  /** Details for the log; undefined if the reason says it all. */
  readonly cause: string | undefined
}
