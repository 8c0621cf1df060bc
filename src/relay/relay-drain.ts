// One relay thread's part in a drain: when each of its clients is moved, and how. Idle clients first, evenly over the
// time given, with jitter, a few dozen per turn, and more slowly while those before are not back. Ends sessions only; that nobody is let in any more is the transport's
// part, and what happens to packets meanwhile is `hand-off.ts`.
//
//   begin ─ settle ─→ a client's turn ─ notice ─→ leave: flush, this side's end ─→ the client's end, or it is cut off
//
// Contract: no client is left after settleMs + spreadMs + DRAIN_CLIENT_MS_MAX, whatever clients do, and nothing is held.

import { readU32 } from '#protocol/bytes.ts'
import { restartingFrame } from '#protocol/frames.ts'
import { Counter, type Counters } from './counters.ts'
import { EndReason } from './end-reason.ts'

export interface DrainTimes {
  /** From the beginning to the first client's turn: others learn that this relay is leaving. */
  readonly settleMs: number
  /** From the first client's turn to the last one's. */
  readonly spreadMs: number
  /** Another run of this relay serves: siblings move to it at once. */
  readonly movesSiblings?: boolean
}

/** How often clients are given their turn. */
const TICK_MS = 50
/** Clients per turn of the loop: an end costs a tenth of a millisecond here and a login somewhere else. */
const CLIENTS_PER_TURN = 32
/**
 * Of all clients, those that may be moving at a time: about to leave, or on their way. If the relay that takes them in
 * stalls for a moment, only so many have to wait for it, and not all whose turn comes meanwhile.
 */
const MOVING_SHARE_MAX = 1 / 32
/** The same for a thread with few clients. */
const MOVING_MIN = 16
/** Clients that wait for others get their turn later, at this many times the even pace at most. */
const PACE_MAX = 2
/**
 * From telling siblings that a key leaves to its end here: what they have forwarded by then arrives in time. As long as
 * the round trip to the other side of an ocean.
 */
const NOTICE_MS = 100
/** For sending all that is queued and for the client's own end. A client that does not read has been given two bursts. */
const LEAVE_MS_MAX = 1_500
/** The longest hold of a packet, and a sweep (`hand-off.ts`). */
const HOLD_MS = 600
/** What one client's move takes at most, after its turn has come. */
export const DRAIN_CLIENT_MS_MAX = NOTICE_MS + LEAVE_MS_MAX + HOLD_MS

const U32 = 2 ** 32

/** A session, as a drain deals with it. */
export interface DrainedSession {
  readonly isMesh: boolean
  readonly isEstablished: boolean
  readonly isEnded: boolean
  /** Bytes so far. */
  readonly wire: { readonly receivedBytes: number; readonly sentBytes: number }
  /** Queues a control frame. */
  tell(frame: Uint8Array): void
  /** Tells siblings that its key is about to leave. */
  announceLeaving(): void
  /** Sends what is queued, `lastFrame` and this side's end, and is read until the client ends its side. */
  leave(lastFrame?: Uint8Array): void
  end(reason: EndReason): void
}

/** What the drain asks of the hand-off. */
export interface DrainHandOff {
  isDraining: boolean
  readonly heldPackets: number
  /** Keys that have left a moment ago, and come back. */
  onTheirWay(nowMs: number): number
}

export interface RelayDrainParts {
  readonly sessions: { where(fits: (session: DrainedSession) => boolean): readonly DrainedSession[] }
  readonly handOff: DrainHandOff
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Calls back once after so many ms; 0: in the next turn of the loop. */
  readonly later: (delayMs: number, callback: () => void) => void
  /** That many random bytes. */
  readonly random: (bytes: number) => Uint8Array
  /** Called once: no client is left. */
  readonly onDone: () => void
}

/** Sessions in the order in which something is due for them. */
interface Due {
  readonly session: DrainedSession
  readonly atMs: number
}

/**
 * Counts how a client's session has ended while its relay drained. Returns the reason to report.
 *
 * @param isLeaving its turn had come
 * @param isFinished it had been sent everything, and this side's end
 */
export function countEndOfDrain(
  counters: Counters,
  reason: EndReason,
  isLeaving: boolean,
  isFinished: boolean,
): EndReason {
  const isForced = reason === EndReason.drainForced
  if (isFinished && !isForced) {
    counters.add(Counter.drainMoved, 1)
    return EndReason.drained
  }
  counters.add(isLeaving || isForced ? Counter.drainForced : Counter.drainLeft, 1)
  return reason
}

export class RelayDrain {
  readonly #parts: RelayDrainParts
  #closeFromMs = 0
  #closeUntilMs = 0
  #movingMax = MOVING_MIN
  /** Clients per ms, if all are moved evenly. */
  #pace = Infinity
  #plannedMs = 0
  /** What each client had carried when the drain began. */
  #carriedBefore = new Map<DrainedSession, number>()
  /** Clients that wait for their turn or have been given it. */
  #planned: Set<DrainedSession> | undefined = undefined
  #waiting: DrainedSession[] = []
  #toLeave: Due[] = []
  #toCut: Due[] = []
  #movedSiblings: DrainedSession[] = []

  constructor(parts: RelayDrainParts) {
    this.#parts = parts
  }

  begin({ settleMs, spreadMs, movesSiblings = false }: DrainTimes): void {
    const { sessions, handOff, now } = this.#parts
    this.#closeFromMs = now() + settleMs
    this.#closeUntilMs = this.#closeFromMs + spreadMs
    handOff.isDraining = true
    const notice = restartingFrame(settleMs + spreadMs + DRAIN_CLIENT_MS_MAX, 0)
    for (const sibling of sessions.where(({ isMesh }) => isMesh)) {
      if (movesSiblings) this.#moveSibling(sibling, notice)
      else sibling.tell(notice)
    }
    this.#carriedBefore = new Map(this.#clients().map((client) => [client, carriedBytes(client)]))
    this.#tick()
  }

  /** It holds its clients' packets until it has dialled the other run. */
  #moveSibling(sibling: DrainedSession, notice: Uint8Array): void {
    sibling.leave(notice)
    this.#movedSiblings.push(sibling)
    this.#toCut.push({ session: sibling, atMs: this.#parts.now() + LEAVE_MS_MAX })
  }

  #clients(): readonly DrainedSession[] {
    return this.#parts.sessions.where(({ isMesh, isEstablished }) => isEstablished && !isMesh)
  }

  readonly #tick = (): void => {
    const { handOff, later, now } = this.#parts
    const nowMs = now()
    const clients = this.#clients()
    const isAlone = clients.length === 0 && this.#movedSiblings.every(({ isEnded }) => isEnded)
    if (isAlone && handOff.heldPackets === 0) return this.#finish()
    if (nowMs >= this.#closeFromMs) this.#plan(clients, nowMs)
    let left = CLIENTS_PER_TURN
    left = each(this.#toCut, nowMs, left, (client) => client.end(EndReason.drainForced))
    left = each(this.#toLeave, nowMs, left, (client) => {
      client.leave()
      this.#toCut.push({ session: client, atMs: nowMs + LEAVE_MS_MAX })
    })
    left -= this.#giveTurns(Math.min(left, this.#turns(nowMs)), nowMs)
    later(left > 0 ? TICK_MS : 0, this.#tick)
  }

  /** Every client waits for its turn, those that come later after the others. */
  #plan(clients: readonly DrainedSession[], nowMs: number): void {
    if (this.#planned === undefined) {
      this.#planned = new Set(clients)
      this.#waiting = [...this.#idleFirst(clients)]
      this.#movingMax = Math.max(MOVING_MIN, clients.length * MOVING_SHARE_MAX)
      this.#pace = clients.length / (this.#closeUntilMs - this.#closeFromMs)
      this.#plannedMs = nowMs
      return
    }
    // Those whose login was under way when the others were planned.
    for (const client of clients) {
      if (this.#planned.has(client)) continue
      this.#planned.add(client)
      this.#waiting.push(client)
    }
  }

  /** How many clients get their turn now, so that all have had it when the time is over. */
  #turns(nowMs: number): number {
    const count = this.#waiting.length
    const sinceMs = nowMs - this.#plannedMs
    const leftMs = this.#closeUntilMs - nowMs
    if (count === 0) return 0
    if (leftMs <= 0) return count
    this.#plannedMs = nowMs
    const isMoreUrgent = count / leftMs > this.#pace * PACE_MAX
    const moving = this.#toLeave.length + this.#parts.handOff.onTheirWay(nowMs)
    const turns = Math.floor((count * sinceMs) / (leftMs + sinceMs) + this.#random())
    return isMoreUrgent ? turns : Math.min(turns, Math.max(0, Math.ceil(this.#movingMax - moving)))
  }

  /** Returns to how many, without those that have ended meanwhile. */
  #giveTurns(max: number, nowMs: number): number {
    let given = 0
    let taken = 0
    for (const client of this.#waiting) {
      if (given === max) break
      taken++
      if (client.isEnded) continue
      given++
      client.announceLeaving()
      this.#toLeave.push({ session: client, atMs: nowMs + NOTICE_MS })
    }
    this.#waiting.splice(0, taken)
    return given
  }

  /** By the bytes that each has carried since the beginning; those that are alike in random order. */
  #idleFirst(clients: readonly DrainedSession[]): readonly DrainedSession[] {
    return clients
      .map((client) => ({
        client,
        bytes: carriedBytes(client) - (this.#carriedBefore.get(client) ?? 0),
        order: this.#random(),
      }))
      .sort((a, b) => a.bytes - b.bytes || a.order - b.order)
      .map(({ client }) => client)
  }

  #finish(): void {
    const { sessions, onDone } = this.#parts
    // Their logins are not over.
    for (const session of sessions.where(({ isMesh }) => !isMesh)) session.end(EndReason.drained)
    onDone()
  }

  /** From 0 to 1. */
  #random(): number {
    return readU32(this.#parts.random(4), 0) / U32
  }
}

/** Calls `act` for those that are due and have not ended, up to `max`. Returns how many more it might have been. */
function each(queue: Due[], nowMs: number, max: number, act: (session: DrainedSession) => void): number {
  let left = max
  let taken = 0
  for (const { session, atMs } of queue) {
    if (atMs > nowMs || left === 0) break
    taken++
    if (session.isEnded) continue
    left--
    act(session)
  }
  queue.splice(0, taken)
  return left
}

function carriedBytes({ wire }: DrainedSession): number {
  return wire.receivedBytes + wire.sentBytes
}
