// A client that has proven its key and waits to be let in: asks admission, counts what comes of it, and says in the
// session's words whether to go on. Runs in a relay thread. Reading the login is `login.ts`; who may come in is
// decided elsewhere.

import { FRAME_BYTES_MAX_WHEN_SPENT, type MemoryBudget } from './memory-budget.ts'
import { Counter, type Counters } from './counters.ts'
import { EndReason } from './end-reason.ts'
import { judgeFirstFrame, type FrameRule } from './frame-rules.ts'
import type { ClientIdentity } from './client-identity.ts'
import type {
  Admission,
  AdmissionAnswer,
  PendingAdmission,
  AdmissionRequest,
  Link,
  SessionStart,
} from './ports.ts'

/** How the connection came in. */
export interface Greeting {
  /** What to send first: the `101` where one is due, and ServerKey. */
  readonly hello: Uint8Array
  /** Its client waits for no answer. */
  readonly isFastStart: boolean
  /** The node that the client named as its ideal one; empty if it is this one. */
  readonly idealNode: string
}

/**
 * What a client may send ahead of its admission: a few control frames. As long as it keeps to that, its link is read,
 * so that its leaving is seen and nobody asks for it any longer.
 */
export const EARLY_BYTES_MAX = 4_096

/** Of the first frame, by its header. */
export function judgeLogin(
  type: number,
  payloadBytes: number,
  memoryBudget: MemoryBudget,
): FrameRule | EndReason {
  if (payloadBytes > FRAME_BYTES_MAX_WHEN_SPENT && memoryBudget.isSpent) return EndReason.memoryShort
  return judgeFirstFrame(type, payloadBytes)
}

/** A client that is not let in. */
export interface Refusal {
  readonly reason: EndReason
  /** In words, for the log. */
  readonly cause: string
}

const RESULT_COUNTERS: Readonly<Record<AdmissionAnswer['result'], number>> = {
  allowed: Counter.admissionsAllowed,
  denied: Counter.admissionsDenied,
  unreachable: Counter.admissionsUnreachable,
  failed_open: Counter.admissionsFailedOpen,
}

/** What asking takes of a session's parts. */
interface AskingParts {
  readonly admission: Admission
  readonly counters: Counters
  readonly now: () => number
}

/** Calls `settle` at most once, at once or later, and not after a `cancel`. */
export function askAdmission(
  request: AdmissionRequest,
  { admission, counters, now }: AskingParts,
  settle: (refusal: Refusal | undefined) => void,
): PendingAdmission {
  const askedMs = now()
  return admission.ask(request, (answer) => {
    counters.observe('admission', (now() - askedMs) / 1_000)
    counters.add(RESULT_COUNTERS[answer.result], 1)
    settle(refusalOf(answer))
  })
}

function refusalOf({ result, reason, isLate }: AdmissionAnswer): Refusal | undefined {
  if (isLate === true) return { reason: EndReason.admissionTimeout, cause: reason }
  if (result === 'denied') return { reason: EndReason.admissionRefused, cause: reason }
  if (result === 'unreachable') return { reason: EndReason.admissionUnreachable, cause: reason }
  return undefined
}

/** What the observer hears of a session that is admitted. */
export function sessionStart(
  { key, kind, appName }: ClientIdentity,
  link: Link,
  isFastStart: boolean,
): SessionStart {
  const way = link.isWebSocket ? 'websocket' : isFastStart ? 'fast_start' : 'derp'
  return { key, remote: link.remote, way, kind, appName }
}
