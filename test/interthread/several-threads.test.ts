// A relay of several threads of which some die, are started again or read late: which keys are at home, which sessions
// are told of changes, and which are reached.

import { describe, expect, it, vi } from 'vitest'
import { forwardPacketFrame } from '#protocol/frames.ts'
import { ThreadMemories, type ThreadMemory } from '#interthread/thread-memory.ts'
import { ThreadLinks } from '#interthread/thread-links.ts'
import type { ForwardTarget, ThreadListener } from '#relay/ports.ts'
import { EndReason } from '#relay/end-reason.ts'
import { bytesEqual } from '#protocol/bytes.ts'
import { actor, alice, bob, cathy, sibling } from '../support/actor.ts'
import { packetLine, type MemoryClient } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { frames, packet } from '../vectors/frames.ts'
import { meshKey } from '../vectors/keys.ts'

const present = expect.stringMatching(/^PeerPresent alice/) as string
const gone = 'PeerGone alice disconnected'

/** A sibling of another region, which is told of home keys only. */
function watcherOfHomes(relay: TestRelay, thread: number): MemoryClient {
  const far = relay.connect(actor(`far ${thread}`), { thread }).logIn({ meshKey, wantsHomesOnly: true })
  far.take()
  return far.send(frames.watchConns)
}

describe('the home of a key, as a watcher on one thread is told of clients on others', () => {
  it('is known to a thread that is started again, until the client notes otherwise', () => {
    const relay = new TestRelay({ threads: 3 })
    const a = relay.join(alice).send(frames.notePreferredYes).settled()
    relay.join(bob)
    relay.killThread(2)
    relay.startThread(2)
    const far = watcherOfHomes(relay, 2)
    expect(far.take()).toEqual([present])
    relay.pass(1_000)
    a.send(frames.notePreferredNo).settled()
    expect(far.take()).toEqual([gone])
  })

  it('ends when its thread dies, if no other thread has it', () => {
    const relay = new TestRelay({ threads: 3 })
    relay.join(alice, { thread: 0 }).send(frames.notePreferredYes).settled()
    const second = relay.join(alice, { thread: 1 }).send(frames.notePreferredYes).settled()
    const far = watcherOfHomes(relay, 2)
    expect(far.take()).toEqual([present])
    relay.killThread(0)
    expect(far.take()).toEqual([])
    second.hangUp()
    expect(far.take()).toEqual([gone])
  })

  it('ends when the session that noted it leaves, though another session of the key stays', () => {
    const relay = new TestRelay({ threads: 3 })
    const home = relay.join(alice, { thread: 0 }).send(frames.notePreferredYes).settled()
    relay.join(alice, { thread: 1 })
    const far = watcherOfHomes(relay, 2)
    expect(far.take()).toEqual([present])
    home.hangUp()
    expect(far.take()).toEqual([gone])
  })

  it('does not end because the key logs in again on the same thread', () => {
    const relay = new TestRelay({ threads: 2 })
    relay.join(alice, { thread: 0 }).send(frames.notePreferredYes).settled()
    relay.join(alice, { thread: 0 })
    const far = watcherOfHomes(relay, 1)
    expect(far.take()).toEqual([present])
    relay.join(alice, { thread: 1 }).send(frames.notePreferredYes).settled().hangUp()
    expect(far.take()).toEqual([])
  })
})

it('keys that siblings have are counted once, not by each thread', () => {
  const relay = new TestRelay({ threads: 3, routes: { find: () => undefined, lookUp: () => false, size: 5 } })
  relay.sweep()
  expect(relay.count('keysAtSiblings')).toBe(5)
})

it('a client that is paused because another thread does not keep up is resumed when that thread dies', () => {
  const relay = new TestRelay({ threads: 2, limits: { outboxBytesMax: Infinity } })
  const [a, b] = [relay.join(alice), relay.join(bob, { thread: 1 })]
  const c = relay.join(cathy)
  relay.thread(1).isStuck = true
  for (let n = 0; n < 16; n++) a.sendPacket(b.actor, Buffer.alloc(60_000)).settled()
  expect(a.link.isPaused).toBe(true)
  relay.killThread(1)
  relay.settle()
  expect(a.link.isPaused).toBe(false)
  a.sendPacket(cathy, packet)
  expect(c.take()).toContain(packetLine(alice, packet))
})

describe('a packet for a key that moves to a third thread while the packet is between two', () => {
  /** From now on the thread finds nothing that others have written, as if it were not there yet. Returns what ends that. */
  const late = (relay: TestRelay, thread: number): (() => void) => {
    relay.thread(thread).isStuck = true
    const drain = vi.spyOn(relay.links(thread), 'drain').mockReturnValue(false)
    return () => {
      drain.mockRestore()
      relay.thread(thread).isStuck = false
      relay.links(thread).read()
      relay.settle()
    }
  }

  // Threads read what others have written in the order of their numbers, so a lower one is heard of earlier.
  it('is passed on to where the key is now, once', () => {
    const relay = new TestRelay({ threads: 4 })
    const a = relay.join(alice, { thread: 3 })
    const second = relay.join(bob, { thread: 2 })
    const senderReads = late(relay, 3)
    second.hangUp()
    const third = relay.join(bob, { thread: 1 })
    a.sendPacket(bob, packet).settled()
    expect(third.take()).toEqual([packetLine(alice, packet)])
    const thirdReads = late(relay, 1)
    a.sendPacket(bob, packet).settled()
    third.hangUp()
    const fourth = relay.join(bob, { thread: 0 })
    thirdReads()
    expect(fourth.take()).toEqual([])
    expect(relay.drops).toEqual({ 'gone_disconnected data': 1 })
    senderReads()
    a.sendPacket(bob, packet).settled()
    expect(fourth.take()).toEqual([packetLine(alice, packet)])
  })
})

describe('a thread that joins', () => {
  const ignore: ThreadListener = {
    presence: {
      peerPresent: () => undefined,
      peerActive: () => undefined,
      peerGone: () => undefined,
      homeChanged: () => undefined,
      syncStarted: () => undefined,
      syncFinished: () => undefined,
      threadEnded: () => undefined,
      peerLeaving: () => undefined,
      closePeer: () => undefined,
      connectedKeys: () => [],
    },
    packets: { fromThread: () => undefined, lostWithThread: () => undefined },
    readThreads: () => undefined,
    wake: () => undefined,
  }
  const start = (memory: ThreadMemory): ThreadLinks => {
    const threadLinks = new ThreadLinks(memory, () => 0)
    threadLinks.connect(ignore)
    return threadLinks
  }

  it('is synced when all that were there before have sent their keys, or have died, whatever comes first', async () => {
    const memories = new ThreadMemories()
    const before = [0, 1, 2].map((index) => start(memories.join(index).memory))
    const { memory, others } = memories.join(3)
    const joined = start(memory)
    let isSynced = false
    void joined.synced().then(() => (isSynced = true))
    const synced = async (): Promise<boolean> => {
      joined.drain()
      await new Promise(setImmediate)
      return isSynced
    }
    for (const { to, link } of others) before[to]?.link(link)
    expect(await synced()).toBe(false)
    before[0]?.startSync(3)
    expect(await synced()).toBe(false)
    // Two deaths in short order: of one that has sent nothing, and of one that has.
    joined.threadEnded(1)
    joined.threadEnded(0)
    expect(await synced()).toBe(false)
    before[2]?.startSync(3)
    expect(await synced()).toBe(true)
  })

  it('does not wait when there was no other', async () => {
    const alone = start(new ThreadMemories().join(0).memory)
    await alone.synced()
    expect(alone.count).toBe(0)
  })

  it('lets its first client reach all others at once', () => {
    const relay = new TestRelay({ threads: 2 })
    const others = Array.from({ length: 200 }, (_, n) => relay.join(actor(`one of many ${n}`)))
    relay.startThread(2)
    relay.settle()
    const first = relay.join(alice, { thread: 2 })
    for (const at of [0, 99, 199]) {
      const other = others[at] as MemoryClient
      first.sendPacket(other.actor, packet)
      expect(other.take()).toEqual([packetLine(alice, packet)])
    }
    expect(relay.drops).toEqual({})
  })
})

describe.each([
  ['on one thread', 1],
  ['across threads', 2],
])('%s', (_where, threads) => {
  it('a packet that a sibling forwarded for a key that is at another sibling is dropped, and the sibling is told', () => {
    const forwarded: string[] = []
    const route: ForwardTarget = { isDraining: false, forward: () => void forwarded.push('forwarded') }
    const relay = new TestRelay({
      threads,
      routes: {
        find: (bytes, at) => (bytesEqual(bytes.subarray(at, at + 32), bob.key) ? route : undefined),
        lookUp: () => false,
        size: 1,
      },
    })
    const a = relay.join(alice)
    // In the table from now on, because a packet was sent to it.
    a.sendPacket(bob, packet).settled()
    expect(forwarded).toEqual(['forwarded'])
    const m = relay.joinSibling(sibling)
    m.send(forwardPacketFrame(cathy.key, bob.key, packet))
    expect(m.take()).toEqual(['PeerGone bob not here'])
    expect(forwarded.length).toBe(1)
    expect(relay.drops).toEqual({ 'unknown_dest_on_fwd data': 1 })
  })

  it('sessions of siblings end when their mesh key is removed, and not when another one is', () => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => Buffer.alloc(32, name)) as [Buffer, Buffer, Buffer]
    const relay = new TestRelay({ threads })
    const setKeys = (...keys: Uint8Array[]): void => {
      for (const { relay: thread } of relay.threads) thread.setMeshKeys(keys)
      relay.settle()
    }
    const login = (name: string, key: Buffer, thread: number): MemoryClient =>
      relay.connect(actor(name), { thread }).logIn({ meshKey: key })
    setKeys(a, b)
    const client = relay.join(alice)
    const withA = login('with a', a, 0)
    const withB = login('with b', b, threads - 1)
    const isOpen = (): boolean[] => [withA, withB, client].map((one) => !one.isClosed)
    setKeys(c, b)
    expect(isOpen()).toEqual([false, true, true])
    setKeys(c)
    expect(isOpen()).toEqual([false, false, true])
    expect(relay.ends.map(({ reason }) => reason)).toEqual([
      EndReason.meshKeyRevoked,
      EndReason.meshKeyRevoked,
    ])
    const withC = login('with c', c, 0)
    setKeys(c)
    expect(withC.isClosed).toBe(false)
  })
})
