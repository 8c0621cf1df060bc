// One link to a sibling as operators see it: plain data, since it goes from its thread to the control thread.

import type { Quality } from './link-quality.ts'

/** Idle: not needed so far. */
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

/** One link as operators see it. */
export interface SiblingReport extends Quality {
  readonly name: string
  /** Which of the links that this thread has had; what it has counted began with it. */
  readonly serial: number
  readonly state: SiblingState
  /** Why it is not up; empty when it is. */
  readonly why: string
  /** It has told who is there, or could not be had. */
  readonly isTried: boolean
  readonly keys: number
  readonly keysRefused: number
  readonly isInside: boolean
  readonly waitingBytes: number
  /** Since the link was made, over all its connections. */
  readonly packets: number
  readonly bytes: number
  readonly dropped: number
  /** How long a packet has waited here at most since the last report. */
  readonly delayMs: number
}
