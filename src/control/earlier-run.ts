// The run of this relay that serves when this one starts, as this one sees it: found through the state folder, joined before
// anything listens, and asked to hand over when this run serves. The other side is `later-run.ts`. Runs on the control
// thread.
//
//   join ─→ joined: threads are linked, both listen ─→ handOver ─→ handedOver: it drains ─→ ended
//
// Contract: until `handOver` the earlier run serves as if nothing had happened, whatever becomes of this one.

import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { packageVersion } from '#ops/version.ts'
import type { CounterSnapshot } from '#relay/counters.ts'
import { RunChannel } from './run-channel.ts'
import {
  readToNewerRun,
  RUN_FORMATS,
  type Joined,
  type Reading,
  type RunPorts,
  type ThreadsOffer,
  type ToNewerRun,
  type ToOlderRun,
} from './run-messages.ts'
import type { RunSocket } from './run-socket.ts'

/** For an answer. The other run's control thread does nothing that takes long. */
const ANSWER_MS_MAX = 10_000
/** A run before the earlier one may still drain, and a first run may still start. */
const RETRY_MS_MAX = 60_000
const RETRY_EVERY_MS = 500
/** The admin port lets clients read their answers, and STUN its last requests. */
export const HAND_OVER_MS_MAX = 15_000
/** Why it is not there any more, if it did not say that it ends. */
const CLOSED = 'has closed the connection'

export interface JoinRequest {
  /** The relay's public key. */
  readonly key: string
  readonly threads: number
}

export interface EarlierRunEvents {
  /** All that it and the runs before it have counted. */
  onCounters(counters: CounterSnapshot): void
  /** It has ended: in order, or the connection to it has broken. Called once. */
  onEnd(why: string): void
}

interface Question {
  readonly kinds: readonly ToNewerRun['kind'][]
  /** @param answer undefined: there is none in time, or the run has ended */
  answered(answer: ToNewerRun | undefined): void
}

export class EarlierRun {
  readonly #channel: RunChannel
  #joined: Joined | undefined = undefined
  #question: Question | undefined = undefined
  #events: EarlierRunEvents | undefined = undefined
  #counters: CounterSnapshot | undefined = undefined
  #endWhy: string | undefined = undefined

  private constructor(connection: Socket) {
    this.#channel = new RunChannel(connection, {
      onMessage: (fields) => this.#onMessage(readToNewerRun(fields)),
      // A run that ends in order says so before.
      onClosed: (why) => this.#onEnd(why === '' ? CLOSED : why),
    })
  }

  /**
   * Joins the run that serves; undefined if there is none.
   *
   * @throws Error if it refuses, does not answer, or is of a version that can't be joined
   */
  static async join(socket: RunSocket, request: JoinRequest): Promise<EarlierRun | undefined> {
    const untilMs = performance.now() + RETRY_MS_MAX
    for (;;) {
      const connection = await socket.connect()
      if (connection === undefined) return undefined
      const run = new EarlierRun(connection)
      const answer = await run.#join(request)
      if (answer?.kind === 'joined') return run
      await run.close()
      // One that ended instead of answering may have left none.
      const mayRetry = answer?.kind === 'refused' ? answer.mayRetry : run.end === '' || run.end === CLOSED
      if (!mayRetry || performance.now() > untilMs) throw refusal(answer, run.end)
      await sleep(RETRY_EVERY_MS)
    }
  }

  async #join(request: JoinRequest): Promise<ToNewerRun | undefined> {
    const [version, { pid }] = [packageVersion(), process]
    const question: ToOlderRun = { kind: 'join', formats: RUN_FORMATS, version, pid, ...request }
    const answer = await this.#ask(question, ['joined', 'refused'], ANSWER_MS_MAX)
    if (answer?.kind === 'joined') this.#joined = answer
    return answer
  }

  /** What it said when this run joined. */
  get joined(): Joined {
    if (this.#joined === undefined) throw new Error('not joined')
    return this.#joined
  }

  /** The ports on which it listens. */
  get ports(): RunPorts {
    return this.joined.ports
  }

  /** Why it is not there any more, empty if it has ended in order; undefined while it is. */
  get end(): string | undefined {
    return this.#endWhy
  }

  /** What has happened before is reported at once. */
  listen(events: EarlierRunEvents): void {
    this.#events = events
    if (this.#counters !== undefined) events.onCounters(this.#counters)
    if (this.#endWhy !== undefined) events.onEnd(this.#endWhy)
  }

  /** This run serves. Returns whether the earlier one has handed over in time. */
  async handOver(): Promise<boolean> {
    return (await this.#ask({ kind: 'handOver' }, ['handedOver'], HAND_OVER_MS_MAX)) !== undefined
  }

  /** Opens the link between the threads again; undefined if it can't now, or is of a version that does not. */
  async link(threads: number): Promise<ThreadsOffer | undefined> {
    const answer = await this.#ask({ kind: 'link', threads }, ['linked', 'refused'], ANSWER_MS_MAX)
    return answer?.kind === 'linked' ? answer : undefined
  }

  async close(): Promise<void> {
    this.#events = undefined
    await this.#channel.close()
  }

  async #ask(question: ToOlderRun, kinds: Question['kinds'], msMax: number): Promise<ToNewerRun | undefined> {
    if (this.#endWhy !== undefined) return undefined
    return await new Promise((resolve) => {
      const timer = setTimeout(() => this.#question?.answered(undefined), msMax)
      this.#question = {
        kinds,
        answered: (answer) => {
          this.#question = undefined
          clearTimeout(timer)
          resolve(answer)
        },
      }
      this.#channel.send(question)
    })
  }

  #onMessage(message: Reading<ToNewerRun>): void {
    if (message.kind === 'unknown') return
    if (message.kind === 'unreadable') return this.#channel.break('sends what this one does not understand')
    const question = this.#question
    if (question?.kinds.includes(message.kind) === true) return question.answered(message)
    if (message.kind !== 'counters' && message.kind !== 'ended') return
    this.#counters = message.counters
    this.#events?.onCounters(message.counters)
    if (message.kind === 'ended') this.#onEnd('')
  }

  #onEnd(why: string): void {
    if (this.#endWhy !== undefined) return
    this.#endWhy = why
    this.#question?.answered(undefined)
    this.#events?.onEnd(why)
  }
}

function refusal(answer: ToNewerRun | undefined, end: string | undefined): Error {
  if (answer?.kind === 'refused')
    return new Error(`another run of this relay serves, and refuses: ${answer.reason}`)
  const why = end ?? `does not answer within ${ANSWER_MS_MAX / 1_000} s`
  return new Error(
    `another process holds the socket run.sock of this relay, and ${why}; end that process first`,
  )
}
