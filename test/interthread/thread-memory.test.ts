import { describe, expect, it } from 'vitest'
import { WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { actor, alice, bob, cathy, sibling } from '../support/actor.ts'
import { packetLine } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'
import { packet } from '../vectors/frames.ts'

describe('when a thread dies', () => {
  /** Alice and a watcher on thread 0, bob on thread 1, cathy on thread 2; alice and cathy have received from bob. */
  function threeThreads() {
    const relay = new TestRelay({ threads: 3 })
    const a = relay.join(alice)
    const watcher = relay.joinSibling(sibling)
    const b = relay.join(bob, { thread: 1 })
    const c = relay.join(cathy, { thread: 2 })
    watcher.send(WATCH_CONNS_FRAME).take()
    b.sendPacket(alice, packet).sendPacket(cathy, packet).settled()
    for (const client of [a, c, watcher]) client.take()
    return { relay, a, b, c, watcher }
  }
  const keyCounts = (relay: TestRelay): number[] => relay.threads.map((thread) => thread.relay.keyCount)

  it('its keys are gone, and each session that must know is told once', () => {
    const { relay, a, c, watcher } = threeThreads()
    relay.killThread(1)
    for (const client of [a, c, watcher]) expect(client.take()).toEqual(['PeerGone bob disconnected'])
    expect(relay.count('keysCurrent')).toBe(2)
    expect(relay.count('clientsCurrent')).toBe(3)
    a.sendPacket(bob, packet).settled()
    expect(relay.drops).toEqual({ 'unknown_dest data': 1 })
    relay.startThread(1)
    for (const client of [a, c, watcher]) expect(client.take()).toEqual([])
  })

  it('a key with sessions on other threads stays, and one of those receives from then on', () => {
    const { relay, a, c, watcher } = threeThreads()
    const other = relay.join(bob, { thread: 2 })
    relay.join(bob, { thread: 1 })
    watcher.take()
    expect(relay.count('duplicateSessions')).toBe(3)
    relay.killThread(1)
    for (const client of [a, c, watcher]) expect(client.take()).toEqual([])
    expect([relay.count('keysCurrent'), relay.count('duplicateSessions')]).toEqual([3, 0])
    a.sendPacket(bob, packet)
    expect(other.take()).toEqual([packetLine(alice, packet)])
  })

  it('its last frames are read, and packets on their way to it are dropped and counted', () => {
    const { relay, a, c, watcher } = threeThreads()
    for (const thread of relay.threads) thread.isStuck = true
    const late = relay.connect(actor('late'), { thread: 1 })
    late.send(late.clientInfo()).settled()
    late.sendPacket(cathy, packet).settled()
    a.sendPacket(bob, packet).sendPacket(bob, packet).settled()
    relay.killThread(1)
    for (const thread of relay.threads) thread.isStuck = false
    // PeerGone is a control frame, which leaves before packets.
    expect(c.take()).toEqual([
      'PeerGone bob disconnected',
      'PeerGone late disconnected',
      packetLine(actor('late'), packet),
    ])
    const present = 'PeerPresent late 192.0.2.1:40004 flags 1'
    expect(watcher.take()).toEqual([present, 'PeerGone bob disconnected', 'PeerGone late disconnected'])
    expect(relay.drops).toEqual({ 'gone_disconnected data': 2 })
  })

  it('the thread in its place knows all keys before it serves, and its clients can be reached', async () => {
    const { relay, a, c, watcher } = threeThreads()
    for (let n = 0; n < 100; n++) relay.join(actor(`many ${n}`), { thread: 2 * (n % 2) })
    watcher.take()
    relay.killThread(1)
    for (const client of [a, c, watcher]) client.take()
    relay.startThread(1)
    let isSynced = false
    const told = relay.links(1).synced()
    void told.then(() => (isSynced = true))
    await new Promise(setImmediate)
    expect([isSynced, relay.thread(1).relay.keyCount]).toEqual([false, 0])
    relay.settle()
    await told
    expect(keyCounts(relay)).toEqual([103, 103, 103])
    const b = relay.join(bob, { thread: 1 })
    expect(watcher.take()).toEqual(['PeerPresent bob 192.0.2.1:40104 flags 1'])
    b.sendPacket(alice, packet).sendPacket(actor('many 99'), packet)
    a.sendPacket(bob, packet)
    expect(b.take()).toEqual([packetLine(alice, packet)])
    expect(a.take()).toEqual([packetLine(bob, packet)])
    expect(relay.drops).toEqual({})
  })

  it('two may die at once, and one during the full sync of another', async () => {
    const { relay, a, watcher } = threeThreads()
    relay.killThread(1)
    relay.killThread(2)
    relay.startThread(1)
    relay.startThread(2)
    relay.killThread(1)
    relay.settle()
    await relay.links(2).synced()
    relay.startThread(1)
    relay.settle()
    expect(watcher.take()).toEqual(['PeerGone bob disconnected', 'PeerGone cathy disconnected'])
    expect(keyCounts(relay)).toEqual([2, 2, 2])
    const [b, c] = [relay.join(bob, { thread: 1 }), relay.join(cathy, { thread: 2 })]
    b.sendPacket(cathy, packet)
    c.sendPacket(alice, packet)
    expect([c.take(), a.take()]).toEqual([
      [packetLine(bob, packet)],
      ['PeerGone bob disconnected', packetLine(cathy, packet)],
    ])
  })
})
