// Two runs of one relay, linked by bridges: to their clients they are one relay.

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Counters } from '#relay/counters.ts'
import { DropReason, PacketKind } from '#relay/drop-reason.ts'
import { RunBridge } from '#interthread/run-bridge.ts'
import { ThreadMemories } from '#interthread/thread-memory.ts'
import { actor, alice, bob, cathy, sibling } from '../support/actor.ts'
import { bytesFrom } from '../protocol/arbitraries.ts'
import { packetLine, type MemoryClient } from '../support/memory-client.ts'
import { TwoRuns } from '../support/two-runs.ts'
import { frames, packet } from '../vectors/frames.ts'

function joined(threads: readonly [number, number] = [1, 1], cutBytes = Infinity): TwoRuns {
  const runs = new TwoRuns({ threads, cutBytes })
  runs.join()
  return runs
}

it.each([
  ['of one thread each', [1, 1]],
  ['of two and three threads', [2, 3]],
] as const)('two runs %s: clients of both reach each other', (_name, threads) => {
  const runs = joined(threads)
  const a = runs.older.join(alice, { thread: threads[0] - 1 })
  const b = runs.newer.join(bob, { thread: threads[1] - 1 })
  a.sendPacket(bob, packet)
  b.sendPacket(alice, packet)
  expect(b.take()).toEqual([packetLine(alice, packet)])
  expect(a.take()).toEqual([packetLine(bob, packet)])
  expect(runs.older.drops).toEqual({})
  expect(runs.newer.drops).toEqual({})
})

it('a run that joins learns of the keys that are there, and its first client reaches them', () => {
  const runs = new TwoRuns({ threads: [2, 1] })
  const others = Array.from({ length: 100 }, (_, n) => runs.older.join(actor(`one ${n}`), { thread: n % 2 }))
  runs.join()
  const a = runs.newer.join(alice)
  for (const at of [0, 1, 99]) {
    const other = others[at] as MemoryClient
    a.sendPacket(other.actor, packet)
    expect(other.take()).toEqual([packetLine(alice, packet)])
  }
})

it('a client that logs in to the newer run receives there, though its old session still sends', () => {
  const runs = joined()
  const old = runs.older.join(alice)
  const b = runs.older.join(bob)
  const fresh = runs.newer.join(alice)
  old.sendPacket(bob, packet)
  b.sendPacket(alice, packet)
  expect(old.take()).toEqual([])
  expect(fresh.take()).toEqual([packetLine(bob, packet)])
})

it('a sibling of either run is told once of keys in both, and of their end', () => {
  const runs = joined()
  const watchers = [runs.older, runs.newer].map((relay) => {
    const watcher = relay.joinSibling(sibling)
    return watcher.send(frames.watchConns)
  })
  for (const watcher of watchers) watcher.take()
  const a = runs.older.join(alice)
  for (const watcher of watchers)
    expect(watcher.take()).toEqual([expect.stringMatching(/^PeerPresent alice/)])
  const again = runs.newer.join(alice)
  for (const watcher of watchers) watcher.take()
  a.hangUp()
  for (const watcher of watchers) expect(watcher.take()).toEqual([])
  again.hangUp()
  for (const watcher of watchers) expect(watcher.take()).toEqual(['PeerGone alice disconnected'])
})

it('when the older run hands over, siblings leave it first; the newer one tells its siblings of the drain and its end', () => {
  const runs = joined()
  const [atOlder, atNewer] = [runs.older, runs.newer].map((relay) => {
    return relay.joinSibling(sibling).send(frames.watchConns)
  })
  if (atOlder === undefined || atNewer === undefined) throw new Error('two runs')
  runs.older.join(alice)
  for (const watcher of [atOlder, atNewer]) watcher.take()
  runs.newer.thread(0).relay.otherRunDrains(9_000)
  expect(atNewer.take()).toEqual(['Restarting 9000 ms, 0 ms'])
  const times = { settleMs: 1_000, spreadMs: 0, movesSiblings: true }
  runs.older.thread(0).relay.drain(times, () => undefined)
  runs.settle()
  expect(atOlder.take()).toEqual(['Restarting 3200 ms, 0 ms'])
  expect(atOlder.link.isFinished).toBe(true)
  // One that dials now.
  const later = runs.newer.joinSibling(sibling)
  later.send(frames.watchConns)
  expect(later.take()).toContainEqual(expect.stringMatching(/^PeerPresent alice/))
  runs.newer.thread(0).relay.otherRunDrains(0)
  expect(atNewer.take()).toContainEqual('Restarting 0 ms, 0 ms')
})

it('when the other run is lost its keys are gone, and it may join again', () => {
  const runs = joined()
  const a = runs.older.join(alice)
  const b = runs.newer.join(bob)
  b.sendPacket(alice, packet)
  a.take()
  runs.part()
  expect(a.take()).toEqual(['PeerGone bob disconnected'])
  a.sendPacket(bob, packet).settled()
  expect(runs.older.drops).toEqual({ 'unknown_dest data': 1 })
  runs.join()
  a.sendPacket(bob, packet)
  expect(b.take()).toEqual([packetLine(alice, packet)])
})

describe('when the other run does not keep up', () => {
  /** Alice on the older run sends to bob on the newer one. */
  function sending(): { runs: TwoRuns; a: MemoryClient; b: MemoryClient; send: (count: number) => void } {
    const runs = new TwoRuns({ relay: { limits: { outboxBytesMax: Infinity } } })
    runs.join()
    const a = runs.older.join(alice)
    const b = runs.newer.join(bob)
    return {
      runs,
      a,
      b,
      send: (count) => {
        for (let n = 0; n < count; n++) a.sendPacket(bob, bytesFrom(n, 60_000)).settled()
      },
    }
  }

  it('its bridge takes a bounded number of bytes, then senders are paused; nothing is lost', () => {
    const { runs, a, b, send } = sending()
    const { pipe } = runs.sides[0] ?? {}
    if (pipe === undefined) throw new Error('not joined')
    pipe.isFull = true
    for (let n = 0; n < 200 && !a.link.isPaused; n++) {
      send(1)
      runs.sides[0]?.bridge.pump()
    }
    expect(a.link.isPaused).toBe(true)
    expect(pipe.unsentBytes).toBeLessThan(3_000_000)
    pipe.isFull = false
    runs.pass(200)
    expect(a.link.isPaused).toBe(false)
    expect(runs.older.drops).toEqual({})
    expect(b.take().length).toBe(runs.older.count('sentToThreads'))
  })

  it('a thread of it that is stuck loses packets, which are counted, and no presence', () => {
    const { runs, b, send } = sending()
    runs.newer.thread(0).isStuck = true
    send(30)
    const c = runs.older.join(cathy)
    for (let round = 0; round < 10; round++) runs.pass(50)
    const counters = runs.sides[1]?.counters
    const lost = counters?.droppedPackets(DropReason.threadQueue, PacketKind.data) ?? 0
    expect(lost).toBeGreaterThan(0)
    runs.newer.thread(0).isStuck = false
    for (let round = 0; round < 10; round++) runs.pass(50)
    expect(b.take().length + lost).toBe(runs.older.count('sentToThreads'))
    b.sendPacket(cathy, packet)
    expect(c.take()).toEqual([packetLine(bob, packet)])
    expect(runs.broken).toEqual([])
  })
})

describe('what is not a frame ends the bridge', () => {
  const frame = (from: number, to: number, type: number, payload: Uint8Array): Buffer => {
    const head = Buffer.from([from, to, type, 0, 0, 0, 0])
    head.writeUInt32BE(payload.length, 3)
    return Buffer.concat([head, payload])
  }
  const receive = (...parts: Buffer[]): string[] => {
    const runs = joined()
    for (const part of parts) runs.sides[0]?.bridge.receive(part)
    runs.settle()
    // The threads themselves are not harmed.
    const [a, b] = [runs.older.join(alice), runs.older.join(bob)]
    a.sendPacket(bob, packet)
    expect(b.take()).toEqual([packetLine(alice, packet)])
    return runs.broken
  }

  it.each([
    [
      'a thread that does not exist there',
      frame(1, 0, 0x81, new Uint8Array(32)),
      'names a thread that does not exist',
    ],
    [
      'a thread that does not exist here',
      frame(0, 1, 0x81, new Uint8Array(32)),
      'names a thread that does not exist',
    ],
    [
      'a frame that is too long',
      Buffer.from([0, 0, 0x82, 0xff, 0, 0, 0]),
      'sends a frame of 4278190080 bytes',
    ],
    [
      'a packet without keys',
      frame(0, 0, 0x82, new Uint8Array(63)),
      'sends a frame of type 130 with 63 bytes',
    ],
    [
      'presence without its number',
      frame(0, 0, 9, new Uint8Array(35)),
      'sends a frame of type 9 with 35 bytes',
    ],
    ['a frame without a key', frame(0, 0, 0x81, new Uint8Array(3)), 'sends a frame of type 129 with 3 bytes'],
  ])('%s', (_name, bytes, why) => {
    expect(receive(bytes)).toEqual([why])
  })

  it('but a frame of a type that a later version has is passed over', () => {
    expect(receive(frame(0, 0, 0xf0, new Uint8Array(40)))).toEqual([])
  })

  it('any bytes whatever harm no thread', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 4 }), (parts) => {
        receive(...parts.map((part) => Buffer.from(part)))
        return true
      }),
      { numRuns: 60 },
    )
  })
})

type Step =
  | { readonly kind: 'join'; readonly who: number; readonly run: number; readonly thread: number }
  | { readonly kind: 'leave'; readonly who: number }
  | { readonly kind: 'send'; readonly from: number; readonly to: number; readonly bytes: number }
  | { readonly kind: 'link'; readonly isUp: boolean }

const PEOPLE = [alice, bob, cathy, actor('dave')]
const someone = fc.nat(PEOPLE.length - 1)
const someSteps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('join' as const), who: someone, run: fc.nat(1), thread: fc.nat(1) }),
    fc.record({ kind: fc.constant('leave' as const), who: someone }),
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('send' as const),
        from: someone,
        to: someone,
        bytes: fc.oneof(fc.integer({ min: 4, max: 1_500 }), fc.constant(65_536)),
      }),
    },
    fc.record({ kind: fc.constant('link' as const), isUp: fc.boolean() }),
  ),
  { maxLength: 40 },
)

/** Where each person is connected, and what was sent to whom: the whole model. */
class Model {
  readonly clients = new Map<number, { readonly run: number; readonly client: MemoryClient }>()
  isLinked = true

  reaches(from: number, to: number): boolean {
    const [sender, receiver] = [this.clients.get(from), this.clients.get(to)]
    if (sender === undefined || receiver === undefined) return false
    return this.isLinked || sender.run === receiver.run
  }
}

it('whatever happens, a packet arrives once, in order, exactly where its receiver is', () => {
  fc.assert(
    fc.property(someSteps, fc.integer({ min: 1, max: 3_000 }), (steps, cutBytes) => {
      const runs = joined([2, 2], cutBytes)
      const relays = [runs.older, runs.newer]
      const model = new Model()
      steps.forEach((step, n) => {
        if (step.kind === 'join' && !model.clients.has(step.who)) {
          const relay = relays[step.run] as TwoRuns['older']
          const client = relay.join(PEOPLE[step.who] ?? alice, { thread: step.thread })
          model.clients.set(step.who, { run: step.run, client })
        } else if (step.kind === 'leave') {
          model.clients.get(step.who)?.client.hangUp()
          model.clients.delete(step.who)
        } else if (step.kind === 'link' && step.isUp !== model.isLinked) {
          if (step.isUp) runs.join()
          else runs.part()
          model.isLinked = step.isUp
        } else if (step.kind === 'send') {
          const [from, to] = [PEOPLE[step.from] ?? alice, PEOPLE[step.to] ?? alice]
          const receiver = model.clients.get(step.to)?.client
          receiver?.take()
          const bytes = bytesFrom(n, step.bytes)
          model.clients.get(step.from)?.client.sendPacket(to, bytes)
          runs.settle()
          const expected = model.reaches(step.from, step.to) ? [packetLine(from, bytes)] : []
          expect((receiver?.take() ?? []).filter((line) => line.startsWith('Recv'))).toEqual(expected)
        }
        runs.settle()
      })
      expect(runs.broken).toEqual([])
      const ids = model.clients
      if (model.isLinked) for (const relay of relays) expect(relay.thread(0).relay.keyCount).toBe(ids.size)
    }),
    { numRuns: 60 },
  )
})

it('frames of two threads keep their order when bursts fill the pipe', () => {
  const runs = new TwoRuns({ cutBytes: 1_000, relay: { limits: { outboxBytesMax: Infinity } } })
  runs.join()
  const [a, b] = [runs.older.join(alice), runs.newer.join(bob)]
  const sent = Array.from({ length: 400 }, (_, n) => bytesFrom(n, 100 + ((n * 997) % 5_000)))
  for (const bytes of sent) a.sendPacket(bob, bytes)
  runs.pass(200)
  expect(b.take()).toEqual(sent.map((bytes) => packetLine(alice, bytes)))
})

it('a bridge that has ended reads and writes nothing', () => {
  const memories = new ThreadMemories()
  memories.join(0)
  memories.openRun(1)
  const memory = memories.bridge
  if (memory === undefined) throw new Error('no bridge')
  const written: number[] = []
  const bridge = new RunBridge({
    memory,
    counters: new Counters(),
    stream: {
      write: (bytes) => void written.push(bytes.length),
      pause: () => undefined,
      resume: () => undefined,
    },
    now: () => 0,
    later: (_ms, callback) => callback(),
    onBroken: () => undefined,
  })
  bridge.end()
  bridge.pump()
  bridge.receive(Buffer.from([9, 9, 9, 9, 9, 9, 9, 9]))
  expect(written).toEqual([])
  expect(bridge.isFlushed).toBe(true)
})
