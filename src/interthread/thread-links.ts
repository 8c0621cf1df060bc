// The other threads of this relay, as one of them reaches them: implements the relay's port OtherThreads. Threads
// announce to each other which keys connect and leave, and hand over packets, as frames like the mesh's in shared
// memory; so a packet can never overtake the presence of its sender. Threads come and go: the control thread, which
// starts and ends them, says so. Runs on a relay thread.
//
// Contract: presence is never lost to a thread that reads (frames that do not fit wait, `presence-queue.ts`); packets
// that do not fit are refused.

import type { AddressedPacket, OtherThreads, ThreadListener } from '#relay/ports.ts'
import { OtherThread } from './other-thread.ts'
import {
  activeFrame,
  closeFrame,
  goneFrame,
  homeFrame,
  leavingFrame,
  presenceFrame,
} from './thread-frames.ts'
import type { ThreadLink, ThreadMemory } from './thread-memory.ts'
import { Wakeup } from './wakeup.ts'

export class ThreadLinks implements OtherThreads {
  readonly index: number
  /** This thread's own. */
  readonly wakeup: Wakeup
  readonly #activity: Int32Array
  readonly #now: () => number
  readonly #firstLinks: readonly ThreadLink[]
  #listener: ThreadListener | undefined = undefined
  #others: readonly OtherThread[] = []
  readonly #byThread: (OtherThread | undefined)[] = []
  /** Threads that were there before this one, and have not sent their full presence sync yet. */
  readonly #unsynced: Set<number>
  readonly #allSynced = Promise.withResolvers<void>()
  #isDraining = false
  #isAwake = false
  #isPolling = false
  isInRound = false

  /** @param now monotonic milliseconds */
  constructor(memory: ThreadMemory, now: () => number) {
    this.index = memory.index
    this.wakeup = new Wakeup(memory.wakeup)
    this.#activity = new Int32Array(memory.activity)
    this.#now = now
    this.#firstLinks = memory.links
    this.#unsynced = new Set(memory.links.map(({ thread }) => thread))
    if (this.#unsynced.size === 0) this.#allSynced.resolve()
  }

  connect(listener: ThreadListener): void {
    this.#listener = listener
    for (const link of this.#firstLinks) this.link(link)
  }

  get count(): number {
    return this.#others.length
  }

  // ── threads come and go ──

  /** Settles when the threads that were there before have sent their full presence sync, or have ended. */
  async synced(): Promise<void> {
    await this.#allSynced.promise
  }

  /** A thread has been started, and is reached from now on. */
  link(link: ThreadLink): void {
    if (this.#listener === undefined) throw new Error('not connected to a relay yet')
    const onSynced = (): void => this.#syncedBy(link.thread)
    this.#byThread[link.thread] = new OtherThread(link, this.#listener, onSynced)
    this.#others = this.#byThread.filter((one) => one !== undefined)
  }

  /** Names every key that is connected here to a thread that has been started. */
  startSync(thread: number): void {
    const to = this.#byThread[thread]
    if (to === undefined) return
    to.startSync()
    this.#mustWake(to)
  }

  /** A thread has ended, and with it its sessions; what was written to it and not read is lost. */
  threadEnded(thread: number): void {
    this.read()
    const ended = this.#byThread[thread]
    this.#byThread[thread] = undefined
    this.#others = this.#byThread.filter((one) => one !== undefined)
    ended?.reclaim((buffer, start, end) => this.#listener?.packets.lostWithThread(buffer, start, end))
    this.#syncedBy(thread)
    ended?.resumeAll()
    this.#listener?.presence.threadEnded(thread)
  }

  #syncedBy(thread: number): void {
    if (this.#unsynced.delete(thread) && this.#unsynced.size === 0) this.#allSynced.resolve()
  }

  // ── presence ──

  nextActivity(): number {
    return (Atomics.add(this.#activity, 0, 1) + 1) | 0
  }

  present(presentFrame: Uint8Array, activity: number): void {
    if (this.#others.length > 0) this.#tellAll(presenceFrame(presentFrame, activity))
  }

  active(key: Uint8Array, activity: number): void {
    this.#tellAll(activeFrame(key, activity))
  }

  home(key: Uint8Array, isHome: boolean): void {
    this.#tellAll(homeFrame(key, isHome))
  }

  gone(key: Uint8Array): void {
    this.#tellAll(goneFrame(key))
  }

  leaving(key: Uint8Array): void {
    this.#tellAll(leavingFrame(key))
  }

  closePeer(key: Uint8Array): void {
    this.#tellAll(closeFrame(key))
  }

  #tellAll(frame: Uint8Array): void {
    for (const to of this.#others) {
      to.tell(frame)
      this.#mustWake(to)
    }
  }

  // ── packets ──

  sendPacket(
    thread: number,
    destinationKey: Uint8Array,
    sourceKey: Uint8Array,
    packet: AddressedPacket,
  ): boolean {
    const to = this.#byThread[thread]
    if (to?.sendPacket(destinationKey, sourceKey, packet) !== true) return false
    this.#mustWake(to)
    return true
  }

  isPressed(thread: number): boolean {
    return this.#byThread[thread]?.isPressed(this.#now) === true
  }

  whenRoom(thread: number, resume: () => void): void {
    this.#byThread[thread]?.whenRoom(resume)
    this.#listener?.wake()
  }

  // ── turns ──

  endTurn(): boolean {
    this.flush()
    this.fallAsleep()
    return this.hasBacklog
  }

  /** Wakes the threads that were written to. */
  flush(): void {
    for (const to of this.#others) to.flush(this.#now)
  }

  /** Whether presence frames or clients wait for room at another thread, so that `flush` must be called again soon. */
  get hasBacklog(): boolean {
    return this.#others.some((to) => to.hasBacklog)
  }

  get isDraining(): boolean {
    return this.#isDraining
  }

  drain(): boolean {
    if (this.#isDraining || this.#others.length === 0) return false
    this.#isDraining = true
    this.#stayAwake()
    for (const from of this.#others) from.drain()
    this.#isDraining = false
    return true
  }

  /** Reads what the others have written; to be called when one of them has woken this thread. */
  read(): void {
    this.#listener?.readThreads()
  }

  /** Reads whenever another thread wakes this one, for as long as this one lives. */
  async readWhenWoken(): Promise<never> {
    for (;;) {
      const count = this.wakeup.count()
      this.read()
      await this.wakeup.wait(count)
    }
  }

  setPolling(isPolling: boolean): void {
    if (this.#isPolling === isPolling) return
    // Kept while there is no other thread, too: the next one may come at any time.
    this.#isPolling = isPolling
    if (!isPolling && this.#others.length > 0) this.#stayAwake()
  }

  /** At the end of a turn: the others wake this thread from now on. Returns false if one has written meanwhile. */
  fallAsleep(): boolean {
    if (!this.#isAwake) return true
    this.#isAwake = false
    if (this.#isPolling) this.wakeup.setPolling()
    else this.wakeup.setAwake(false)
    if (!this.#others.some((from) => from.hasFrames)) return true
    this.#stayAwake()
    return false
  }

  /** A thread at work is not woken until the end of its turn, at which it looks by itself. */
  #stayAwake(): void {
    if (this.#isAwake) return
    this.#isAwake = true
    this.wakeup.setAwake(true)
    this.#listener?.wake()
  }

  #mustWake(to: OtherThread): void {
    if (to.mustWake(!this.isInRound)) this.#listener?.wake()
  }
}
