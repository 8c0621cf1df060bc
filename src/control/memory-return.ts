// Gives memory back to the system when many clients have left: the allocator keeps what they had, in pieces between what others
// still have. Looks once a second how many there are. Not by the clock: a relay whose clients stay gives nothing back, because
// giving back takes the allocator's locks for a tenth of a second (docs/decisions/0031), and packets wait for those. So it is done
// in a moment without packets, or if there is none for a while, in any other. What the start has left is given back, too, in the
// first moment in which nothing happens (docs/decisions/0036); a relay that is never idle, or has many clients by then, keeps it. Runs on the control thread.

import type { PlainCounter } from '#relay/counters.ts'
import { collectGarbage } from '#transport/collect-garbage.ts'
import type { Native } from '#transport/native.ts'
import { releasePages } from '#transport/program-pages.ts'
import type { RelayThreads } from './relay-threads.ts'
import type { Service } from './service.ts'

const LOOK_MS = 1_000
/** So many must have left since the last time, or since there were most: 25 MB of theirs are worth the wait … */
const LEFT_MIN = 1_000
/** … and this share of those who were there: the others' next clients would need the memory again. */
const LEFT_SHARE_MIN = 0.25
/** They have left when in one look no more than this share of them leaves, and packets have found their pace again. */
const SETTLED_SHARE = 0.01
/** After so many looks, the start is over. */
const START_LOOKS = 5
/** So many looks it waits for one without packets. */
const BUSY_LOOKS_MAX = 60

export interface MemoryReturnParts {
  /** Sessions of all threads. */
  readonly sessions: () => number
  /** Packets that have arrived so far. */
  readonly packets: () => number
  readonly giveBack: () => void
  /** Once, after the start. */
  readonly giveBackStart: () => void
}

export class MemoryReturn implements Service {
  readonly #parts: MemoryReturnParts
  #timer: NodeJS.Timeout | undefined = undefined
  #most = 0
  #lastSessions = 0
  #lastPackets = 0
  #busyLooks = 0
  #looks = 0
  #hasStart = true

  constructor(parts: MemoryReturnParts) {
    this.#parts = parts
  }

  start(): void {
    this.#timer = setInterval(() => this.look(), LOOK_MS).unref()
  }

  look(): void {
    const sessions = this.#parts.sessions()
    const packets = this.#parts.packets()
    const leaving = this.#lastSessions - sessions
    const isQuiet = packets === this.#lastPackets
    if (this.#hasStart && ++this.#looks > START_LOOKS && isQuiet && leaving === 0 && sessions < LEFT_MIN) {
      this.#hasStart = false
      this.#parts.giveBackStart()
    }
    this.#lastSessions = sessions
    this.#lastPackets = packets
    this.#most = Math.max(this.#most, sessions)
    const left = this.#most - sessions
    if (left < Math.max(LEFT_MIN, LEFT_SHARE_MIN * this.#most)) return
    if (leaving > SETTLED_SHARE * this.#most) return
    if (!isQuiet && this.#busyLooks++ < BUSY_LOOKS_MAX) return
    this.#most = sessions
    this.#busyLooks = 0
    this.#parts.giveBack()
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

/** Undefined where native calls do not work. */
export function memoryReturn(
  native: Native | undefined,
  threads: Pick<RelayThreads, 'counters' | 'broadcast' | 'handled'>,
  isProgram: boolean,
): MemoryReturn | undefined {
  if (native === undefined) return undefined
  const sum = (...names: readonly PlainCounter[]): number =>
    threads.counters.reduce(
      (all, counters) => all + names.reduce((ofThread, name) => ofThread + counters.get(name), 0),
      0,
    )
  return new MemoryReturn({
    sessions: () => sum('connectionsCurrent'),
    packets: () => sum('receivedData', 'receivedDisco', 'forwardedIn'),
    giveBack: () => void native.trimMemory(),
    giveBackStart: () => {
      // Nobody else's process is treated like this.
      if (isProgram) void giveBackStart(native, threads)
    },
  })
}

/** Memory that nobody uses any more goes back to the system, whatever packets wait for that. */
export async function giveMemoryBack(
  native: Native | undefined,
  threads: Pick<RelayThreads, 'broadcast' | 'handled'>,
): Promise<void> {
  threads.broadcast({ kind: 'collectGarbage' })
  await threads.handled()
  collectGarbage()
  native?.trimMemory()
}

async function giveBackStart(
  native: Native,
  threads: Pick<RelayThreads, 'broadcast' | 'handled'>,
): Promise<void> {
  await giveMemoryBack(native, threads)
  releasePages(native)
}
