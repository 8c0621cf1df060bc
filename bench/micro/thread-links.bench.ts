// What the links to other threads cost a relay thread per packet and per turn. A relay of one thread has none; with a bridge to
// another run it has as many as the other run has threads, and with several threads it has the others. Everything but the
// clients' links is what the program uses; packets between two clients of this thread never cross a ring.

import { expect, test } from 'vitest'
import { sendPacketFrame } from '#protocol/frames.ts'
import { ThreadLinks } from '#interthread/thread-links.ts'
import { ThreadMemories } from '#interthread/thread-memory.ts'
import type { OtherThreads, ThreadListener } from '#relay/ports.ts'
import { SingleThread } from '#relay/single-thread.ts'
import { alice, bob } from '../../test/support/actor.ts'
import { measure, perOperation } from './per-operation.ts'
import { SocketlessRelay } from './socketless-relay.ts'

const ROUNDS = 100
/** Packets in a turn of the loop. */
const BATCH = 44

/** The links of the only thread of a run; another run has joined if it is to have threads. */
class LinksOfOne extends ThreadLinks {
  readonly #memories: ThreadMemories
  readonly #otherThreads: number

  private constructor(memories: ThreadMemories, otherThreads: number) {
    super(memories.join(0).memory, () => performance.now())
    this.#memories = memories
    this.#otherThreads = otherThreads
  }

  static with(otherThreads: number): LinksOfOne {
    return new LinksOfOne(new ThreadMemories(), otherThreads)
  }

  override connect(listener: ThreadListener): void {
    super.connect(listener)
    if (this.#otherThreads === 0) return
    for (const { link } of this.#memories.openRun(this.#otherThreads)) this.link(link)
  }
}

/** Turns in which alice sends a batch of packets to bob. */
function turns(threads: OtherThreads, batch: number): () => void {
  const relay = new SocketlessRelay(threads)
  const [a, b] = [relay.join(alice), relay.join(bob)]
  const frame = Buffer.from(sendPacketFrame(b.actor.key, new Uint8Array(1_420)))
  const chunk = Buffer.concat(Array.from({ length: batch }, () => frame))
  const bytes = Buffer.alloc(chunk.length)
  const pass = (): void => {
    for (let round = 0; round < ROUNDS; round++) {
      chunk.copy(bytes)
      a.listener.receive(bytes, 0, bytes.length)
      relay.endTurn()
    }
  }
  pass()
  expect(relay.counters.get('sentData')).toBe(ROUNDS * batch)
  return pass
}

const KINDS = [
  ['no other run', 0],
  ['another run of one thread', 1],
  ['another run of four threads', 4],
] as const

// All by the same class, as in the program: a second one would slow both.
test('packets of a relay of one thread', async ({ bench }) => {
  for (const [name, otherThreads] of KINDS) {
    const many = perOperation(ROUNDS * BATCH, turns(LinksOfOne.with(otherThreads), BATCH))
    const one = perOperation(ROUNDS, turns(LinksOfOne.with(otherThreads), 1))
    await measure(bench(`1,420 B, 44 a turn, ${name}`, many), bench(`1,420 B, one a turn, ${name}`, one))
  }
})

test('a turn of a relay of one thread, without packets', async ({ bench }) => {
  const turn = (threads: OtherThreads): (() => void) => {
    void new SocketlessRelay(threads)
    return () => {
      for (let round = 0; round < 10_000; round++) {
        threads.drain()
        threads.endTurn()
      }
    }
  }
  for (const [name, otherThreads] of KINDS)
    await measure(bench(name, perOperation(10_000, turn(LinksOfOne.with(otherThreads)))))
  await measure(bench('no links at all', perOperation(10_000, turn(new SingleThread()))))
})
