// The run of this relay that joins while this one serves, as this one sees it: links its threads with this run's, and hands
// over when it asks for that. The other side is `earlier-run.ts`. Runs on the control thread.
//
// Contract: until it asks this run to hand over, its end changes nothing here.

import { randomBytes } from 'node:crypto'
import type { Counters, CounterSnapshot } from '#relay/counters.ts'
import { RunBridgeLink } from './run-bridge-link.ts'
import type { RunChannel } from './run-channel.ts'
import type { Joined, ThreadsOffer, ToNewerRun, ToOlderRun } from './run-messages.ts'
import type { RelayThreads } from './relay-threads.ts'
import { socketPathIn } from './control-socket.ts'

const TOKEN_BYTES = 32

/** What it needs of this run's threads. */
export type LinkedThreads = Pick<
  RelayThreads,
  'activity' | 'bridge' | 'closeRun' | 'count' | 'openRun' | 'present'
>

export interface LaterRunParts {
  readonly folder: string
  readonly channel: RunChannel
  readonly threads: LinkedThreads
  /** For what the bridge drops. */
  readonly counters: Counters
  /** For its bridge to connect. */
  readonly connectMsMax: number
  readonly onFault: (error: Error) => void
  /** The link between the threads has broken; the later run may ask for another one. */
  onUnlinked(why: string): void
  /** It has ended. Called once, and not after `finish`. */
  onEnd(why: string): void
}

export class LaterRun {
  readonly #parts: LaterRunParts
  #bridge: RunBridgeLink | undefined = undefined
  #pid: number | undefined = undefined
  #hasLinked = false
  #isRelinking = false
  #isOver = false

  constructor(parts: LaterRunParts) {
    this.#parts = parts
  }

  /** Its process. */
  get pid(): number | undefined {
    return this.#pid
  }

  /** Frames have passed between the threads of both runs; the link may have broken since, and is opened again. */
  get hasLinked(): boolean {
    return this.#hasLinked
  }

  /** It is lost, or this run ends. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Links the threads, and lets the later run connect. */
  async join(
    { pid, threads: count }: ToOlderRun & { readonly kind: 'join' },
    answer: Omit<Joined, 'kind' | 'activity' | keyof ThreadsOffer>,
  ): Promise<void> {
    this.#pid = pid
    const offer = await this.#openBridge(count)
    this.send({ kind: 'joined', ...answer, activity: this.#parts.threads.activity, ...offer })
  }

  /** The link between the threads has broken, and the later run asks for another one: one at a time. */
  async relink(count: number): Promise<void> {
    if (this.#isRelinking) return
    this.#isRelinking = true
    try {
      await this.unlink()
      if (!this.#isOver) this.send(await this.#newLink(count))
    } catch (error) {
      this.send({ kind: 'refused', reason: (error as Error).message, mayRetry: true })
    } finally {
      this.#isRelinking = false
    }
  }

  async #newLink(count: number): Promise<ToNewerRun> {
    const { threads } = this.#parts
    if (!threads.present.every(Boolean)) {
      return { kind: 'refused', reason: 'a relay thread has died', mayRetry: true }
    }
    threads.closeRun()
    return { kind: 'linked', ...(await this.#openBridge(count)) }
  }

  async #openBridge(count: number): Promise<ThreadsOffer> {
    const { connectMsMax, counters, folder, threads } = this.#parts
    const socket = `run-bridge-${randomBytes(4).toString('hex')}.sock`
    const token = randomBytes(TOKEN_BYTES).toString('hex')
    threads.openRun(count)
    const path = socketPathIn(folder, socket)
    const bridge: RunBridgeLink = new RunBridgeLink({
      threads,
      counters,
      way: 'listen',
      path: path.path,
      token,
      onDown: (why) => this.#bridgeDown(bridge, why),
      onFault: (error) => this.#parts.onFault(error),
    })
    this.#bridge = bridge
    const limit = setTimeout(() => void this.end('did not connect to the bridge'), connectMsMax)
    void bridge.up
      .then(() => (this.#hasLinked = true))
      .catch(() => undefined)
      .finally(() => {
        clearTimeout(limit)
        path.close()
      })
    await bridge.start()
    return { threads: threads.count, socket, token }
  }

  #bridgeDown(bridge: RunBridgeLink, why: string): void {
    if (this.#bridge !== bridge) return
    this.#bridge = undefined
    if (!this.#isOver) this.#parts.onUnlinked(why)
  }

  /** Ends the link between the threads. */
  async unlink(): Promise<void> {
    const bridge = this.#bridge
    this.#bridge = undefined
    await bridge?.stop().catch((error: Error) => this.#parts.onFault(error))
  }

  send(message: ToNewerRun): void {
    this.#parts.channel.send({ ...message })
  }

  /** @param why completes "the later run …"; empty if it has ended in order */
  async end(why: string): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    await this.unlink()
    await this.#parts.channel.close()
    this.#parts.onEnd(why)
  }

  /** This run ends in order. @param last what it has counted, with what the bridge has dropped until its end */
  async finish(last: () => CounterSnapshot): Promise<void> {
    if (this.#isOver) return
    this.#isOver = true
    await this.unlink()
    this.send({ kind: 'ended', counters: last() })
    await this.#parts.channel.close()
  }
}
