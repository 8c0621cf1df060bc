// The report of one sibling link, for operators: plain data that goes from its relay thread to the control thread.

import type { Quality } from './link-quality.ts'

/**
 * - `idle`: not needed so far.
 * - `waiting`: not connected; dialled again later.
 * - `dialling`, `greeted`: connecting; the login is sent.
 * - `up`: logged in, and its key is proven.
 * - `self`: the address leads to this relay.
 * - `alias`: the address leads to a relay that another link leads to.
 * - `copied`: another relay with a key that is already in use.
 * - `closed`: no longer a sibling.
 */
export type SiblingState =
  | 'idle'
  | 'waiting'
  | 'dialling'
  | 'greeted'
  | 'up'
  | 'self'
  | 'alias'
  | 'copied'
  | 'closed'

export interface SiblingReport extends Quality {
  readonly name: string
  /** The number of the link among those that its thread has had; counters start with the link. */
  readonly serial: number
  readonly state: SiblingState
  /** Why the link is not up; empty when it is. */
  readonly why: string
  /** The sibling's presence has arrived, or the sibling could not be reached. */
  readonly isTried: boolean
  readonly keys: number
  readonly keysRefused: number
  readonly isInside: boolean
  /** The key that it has proven, as text; undefined while the link is not up. */
  readonly key: string | undefined
  /** The run of the relay that it names; undefined while the link is not up, and for derper. */
  readonly instance: string | undefined
  readonly waitingBytes: number
  /** Since the link was made, over all its connections. */
  readonly packets: number
  readonly bytes: number
  readonly dropped: number
  /** The longest time that a packet has waited here since the last report. */
  readonly delayMs: number
}
