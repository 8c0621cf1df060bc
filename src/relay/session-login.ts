// The login of one session: its ClientInfo is read when its turn comes, then admission is asked. Tells the session what
// came of it. Lives until then. What a ClientInfo must contain is `login.ts`; the decision is admission's.

import type { BoxKey } from '#protocol/box.ts'
import type { Budget } from '#protocol/budget.ts'
import { restartingFrame } from '#protocol/frames.ts'
import { serverInfoFrame } from '#protocol/handshake.ts'
import { NONCE_BYTES } from '#protocol/limits.ts'
import { ClientIdentity, type ClientStart } from './client-identity.ts'
import { Counter, type Counters } from './counters.ts'
import { EndReason } from './end-reason.ts'
import { judgeFirstFrame, type FrameRule } from './frame-rules.ts'
import { readLogin } from './login.ts'
import { FRAME_BYTES_MAX_WHEN_SPENT, type MemoryBudget } from './memory-budget.ts'
import type {
  Admission,
  AdmissionAnswer,
  AdmissionRequest,
  Link,
  PendingAdmission,
  RemoteAddress,
  SessionStart,
} from './ports.ts'
import type { Peer } from './peer.ts'
import type { Recipient } from './recipient.ts'
import type { SessionContext } from './session-context.ts'
import { announcedRate, LOGIN_TIMEOUT_MS } from './session-limits.ts'

/** How the connection came in. */
export interface ConnectionStart extends ClientStart {
  /** What to send first: the `101` where one is due, and ServerKey. */
  readonly firstBytes: Uint8Array
}

/** The session that logs in. */
export interface LoginOwner extends Recipient {
  /** When its connection was accepted. */
  readonly acceptedMs: number
  readonly remote: RemoteAddress
  /** Set as soon as the client has proven its key, before admission. */
  identity: ClientIdentity | undefined
  /** Set when the client is admitted. */
  peer: Peer | undefined
  /** The client is admitted: the session may send and receive from now on. */
  establish(): void
  /** What admission says of its key from now on; undefined: nothing. */
  useBudget(own: Budget | undefined): void
  /** The login is complete: reads what the client has sent meanwhile. */
  resume(): void
  end(reason: EndReason, cause?: string): void
}

export class SessionLogin {
  readonly #owner: LoginOwner
  readonly #link: Link
  readonly #start: ConnectionStart
  readonly #context: SessionContext
  #knownRemote: RemoteAddress | undefined = undefined
  #isCancelled = false
  #pending: PendingAdmission | undefined = undefined

  constructor(owner: LoginOwner, link: Link, start: ConnectionStart, context: SessionContext) {
    this.#owner = owner
    this.#link = link
    this.#start = start
    this.#context = context
  }

  /** Read once: a link makes it each time. */
  get #remote(): RemoteAddress {
    return (this.#knownRemote ??= this.#link.remote)
  }

  /**
   * The ClientInfo payload has arrived. Logins are work: when many come at once, packets do not wait for all of them.
   */
  begin(payload: Uint8Array): void {
    const { logins, addresses } = this.#context
    if (!addresses.mayLogIn(this.#remote.ip)) return this.#owner.end(EndReason.addressRate)
    if (logins.isFree) return logins.run(() => this.#logIn(payload))
    const kept = Buffer.from(payload)
    logins.run(() => {
      if (!this.#isCancelled) this.#logIn(kept)
    })
  }

  /** The session has ended. */
  cancel(): void {
    this.#isCancelled = true
    this.#pending?.cancel()
  }

  #logIn(payload: Uint8Array): void {
    const login = readLogin(payload, this.#context.rules)
    if (typeof login === 'string') return this.#owner.end(login)
    const identity = new ClientIdentity(login, this.#link, this.#start)
    this.#owner.identity = identity
    if (identity.isMesh) {
      this.#context.addresses.exempt(this.#remote.ip)
      return this.#admit(login.box, identity, undefined)
    }
    const withinMs = LOGIN_TIMEOUT_MS - (this.#context.now() - this.#owner.acceptedMs)
    const request = { key: login.key, remote: this.#remote, withinMs, isHere: false }
    const { rechecks } = this.#context
    const { edition } = rechecks
    this.#pending = askAdmission(request, this.#context, (answer) => {
      this.#pending = undefined
      if (this.#isCancelled) return
      const refusal = refusalReasonOf(answer)
      if (refusal !== undefined) return this.#owner.end(reasonFor(identity, refusal), answer.reason)
      this.#admit(login.box, identity, answer.budget)
      if (answer.recheckInMs !== undefined) rechecks.add(this.#owner, answer.recheckInMs, edition)
    })
  }

  /** From here on the client receives; ServerInfo is in its outbox before any packet can be. */
  #admit(box: BoxKey, identity: ClientIdentity, budget: Budget | undefined): void {
    const owner = this.#owner
    const { counters, handOff, registry, now, observer, random, rules } = this.#context
    owner.establish()
    const instance = identity.isMesh && identity.wantsInstance ? rules.instance : undefined
    const rate = identity.isMesh ? undefined : announcedRate(this.#context.limits, budget)
    owner.tell(serverInfoFrame(box, random(NONCE_BYTES), { instance, rate }))
    if (identity.isMesh && handOff.otherRunDrainsForMs > 0)
      owner.tell(restartingFrame(handOff.otherRunDrainsForMs, 0))
    identity.count(counters, 1)
    counters.add(Counter.loginsTotal, 1)
    counters.observe('login', (now() - owner.acceptedMs) / 1_000)
    owner.peer = registry.register(owner)
    owner.useBudget(budget)
    observer.sessionStarted(this.#sessionStart(identity))
    owner.resume()
  }

  #sessionStart({ key, kind, way, appName }: ClientIdentity): SessionStart {
    return { key, remote: this.#remote, way, kind, appName }
  }
}

/** Judges the first frame by its header. */
export function judgeLogin(
  type: number,
  payloadBytes: number,
  memoryBudget: MemoryBudget,
): FrameRule | EndReason {
  if (payloadBytes > FRAME_BYTES_MAX_WHEN_SPENT && memoryBudget.isSpent) return EndReason.memoryShort
  return judgeFirstFrame(type, payloadBytes)
}

/**
 * Why a client is refused a privilege or admission. A client with a mesh key that is none of this relay's is told about
 * the key when it depends on it; while it does not, it is a client like any other.
 */
export function reasonFor(identity: ClientIdentity | undefined, otherwise: EndReason): EndReason {
  return identity?.isMeshKeyRefused === true ? EndReason.meshKeyRefused : otherwise
}

const RESULT_COUNTERS: Readonly<Record<AdmissionAnswer['result'], number>> = {
  allowed: Counter.admissionsAllowed,
  memory: Counter.admissionsFromMemory,
  denied: Counter.admissionsDenied,
  denied_by_operator: Counter.admissionsByOperator,
  unreachable: Counter.admissionsUnreachable,
  failed_open: Counter.admissionsFailedOpen,
}

/** What a request for admission needs of the context. */
interface AskParts {
  readonly admission: Admission
  readonly counters: Counters
  readonly now: () => number
}

/** Calls `settle` at most once, at once or later, and not after a `cancel`. */
function askAdmission(
  request: AdmissionRequest,
  { admission, counters, now }: AskParts,
  settle: (answer: AdmissionAnswer) => void,
): PendingAdmission {
  const askedMs = now()
  return admission.ask(request, (answer) => {
    counters.observe('admission', (now() - askedMs) / 1_000)
    counters.add(RESULT_COUNTERS[answer.result], 1)
    settle(answer)
  })
}

/** Why a client with that answer is not let in; undefined if it is. */
function refusalReasonOf({ result, isLate }: AdmissionAnswer): EndReason | undefined {
  if (isLate === true) return EndReason.admissionTimeout
  if (result === 'denied') return EndReason.admissionRefused
  if (result === 'denied_by_operator') return EndReason.deniedByOperator
  if (result === 'unreachable') return EndReason.admissionUnreachable
  return undefined
}
