// Clients with one key are told of each other by a Health frame when both are alive, and not when one has only reconnected.

import { describe, expect, it } from 'vitest'
import { FrameType } from '#protocol/frame-type.ts'
import { frame } from '#protocol/handshake.ts'
import { alice, bob, sibling } from '../support/actor.ts'
import type { MemoryClient } from '../support/memory-client.ts'
import { TestRelay } from '../support/test-relay.ts'

const NOTE = frame(FrameType.notePreferred, Buffer.from([1]))

/** The texts of the Health frames since the last call; keepalives are left out. */
function problems(client: MemoryClient): readonly string[] {
  return client.take().filter((line) => line.startsWith('Health'))
}

const TOLD = [expect.stringContaining('another device is connected with the same node key')]
const CLEAR = ['Health ""']

describe.each([
  ['on one thread', 1],
  ['on two threads', 2],
])('%s', (_where, threads) => {
  function twoBobs(): { relay: TestRelay; old: MemoryClient; recent: MemoryClient } {
    const relay = new TestRelay({ threads })
    const old = relay.join(bob)
    relay.pass(1_000)
    return { relay, old, recent: relay.join(bob, { thread: threads - 1 }) }
  }

  it('both send: both are told, five seconds after the second login, and again when one is left', () => {
    const { relay, old, recent } = twoBobs()
    const speakUntil = (ms: number): void => {
      for (let at = 0; at < ms; at += 500) {
        old.send(NOTE).settled()
        recent.send(NOTE).settled()
        relay.pass(500)
      }
    }
    speakUntil(4_500)
    expect([problems(old), problems(recent)]).toEqual([[], []])
    speakUntil(2_000)
    expect([problems(old), problems(recent)]).toEqual([TOLD, TOLD])
    speakUntil(5_000)
    expect([problems(old), problems(recent)]).toEqual([[], []])
    expect(relay.count('duplicatesTold')).toBe(threads)
    recent.hangUp()
    expect(problems(old)).toEqual(CLEAR)
  })

  it('packets go to the one that sent last, but to another one a hundred times a second at most', () => {
    const { relay, old, recent } = twoBobs()
    const sender = relay.join(alice)
    const receiver = (): 'old' | 'recent' | 'neither' => {
      const [toOld, toRecent] = [old, recent].map((one) => one.take().join().includes('Packet'))
      return toOld === toRecent ? 'neither' : toOld === true ? 'old' : 'recent'
    }
    const receivers: string[] = []
    for (let at = 0; at < 1_000; at++) {
      const last = at % 2 === 0 ? old : recent
      last.send(NOTE).settled()
      sender.sendPacket(bob, Buffer.from('to the last one')).settled()
      receivers.push(receiver())
      relay.pass(1)
    }
    expect(receivers).not.toContain('neither')
    const right = receivers.slice(0, 20).every((one, at) => one === (at % 2 === 0 ? 'old' : 'recent'))
    expect(right, 'the first twenty').toBe(true)
    const switches = receivers.filter((one, at) => at > 0 && one !== receivers[at - 1]).length
    expect(switches).toBeGreaterThan(100)
    expect(switches).toBeLessThan(300)
  })

  it('a third one is told as well; the last one of three is told that it is over', () => {
    const { relay, old, recent } = twoBobs()
    relay.pass(31_000)
    problems(old)
    problems(recent)
    const third = relay.join(bob)
    relay.pass(1_000)
    expect([problems(third), problems(old)]).toEqual([TOLD, []])
    old.hangUp()
    expect(problems(third)).toEqual([])
    recent.hangUp()
    expect(problems(third)).toEqual(CLEAR)
  })

  it('both are silent: both are told when the kernel would have ended a dead one', () => {
    const { relay, old, recent } = twoBobs()
    relay.pass(29_000)
    expect([problems(old), problems(recent)]).toEqual([[], []])
    relay.pass(2_000)
    expect([problems(old), problems(recent)]).toEqual([TOLD, TOLD])
  })

  it('a client that speaks late on its new connection, after last words on the old one, is not told', () => {
    const { relay, old, recent } = twoBobs()
    old.send(NOTE).settled()
    relay.pass(6_000)
    recent.send(NOTE).settled()
    relay.pass(14_000)
    old.hangUp()
    expect(problems(recent)).toEqual([])
  })

  it('a client that reconnects is not told, although its old connection says a last word and is found dead late', () => {
    const { relay, old, recent } = twoBobs()
    recent.send(NOTE).settled()
    old.send(NOTE).settled()
    for (let at = 0; at < 20; at++) {
      relay.pass(1_000)
      recent.send(NOTE).settled()
    }
    // A keepalive has been sent to it, which a dead one does not acknowledge: TCP_USER_TIMEOUT ends it.
    expect(old.take()).toContain('KeepAlive')
    old.hangUp()
    relay.pass(60_000)
    expect(problems(recent)).toEqual([])
    expect(relay.count('duplicatesTold')).toBe(0)
  })
})

it('a reconnect that comes again and again begins anew each time', () => {
  const relay = new TestRelay()
  const alive = relay.join(bob)
  for (let n = 0; n < 10; n++) {
    relay.join(bob)
    relay.pass(4_000)
  }
  expect(problems(alive)).toEqual([])
})

it('without a time limit for what is not acknowledged, silent ones are told after two minutes', () => {
  const relay = new TestRelay({ limits: { tcpUserTimeoutMs: 0 } })
  const [old] = [relay.join(bob), relay.join(bob)]
  relay.pass(119_000)
  expect(problems(old)).toEqual([])
  relay.pass(2_000)
  expect(problems(old)).toEqual(TOLD)
})

it('siblings and clients with one connection are told nothing', () => {
  const relay = new TestRelay()
  const siblings = [relay.joinSibling(sibling), relay.joinSibling(sibling)]
  const single = relay.join(alice)
  relay.pass(130_000)
  for (const one of [...siblings, single]) expect(problems(one)).toEqual([])
})
