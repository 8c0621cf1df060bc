import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { NO_THREAD, Peer } from '#relay/peer.ts'
import { alice } from '../support/actor.ts'

const presence = (thread: number, activity: number) => ({
  thread,
  activity,
  presentFrame: new Uint8Array(0),
  isHome: false,
})

it('of a key that is on other threads only, the thread that became active last receives', () => {
  const peer = new Peer(alice.key)
  peer.onOtherThreads.push(presence(0, 5), presence(2, 9), presence(1, 7))
  peer.elect()
  expect(peer.thread).toBe(2)
  expect(peer.active).toBeUndefined()
  expect(peer.registrations).toBe(3)
})

it('of a key that is on no thread, no session receives', () => {
  const peer = new Peer(alice.key)
  peer.elect()
  expect([peer.thread, peer.active, peer.registrations]).toEqual([NO_THREAD, undefined, 0])
})

it('the order of activity is kept when the count wraps around', () => {
  fc.assert(
    fc.property(
      fc.integer(),
      fc.shuffledSubarray([1, 2, 3, 4, 5, 6, 7, 8], { minLength: 1 }),
      (base, threads) => {
        const peer = new Peer(alice.key)
        // Each thread became active after the threads with lower numbers.
        for (const thread of threads) peer.onOtherThreads.push(presence(thread, (base + thread) | 0))
        peer.elect()
        expect(peer.thread).toBe(Math.max(...threads))
      },
    ),
    { examples: [[0x7fff_fffc, [8, 1, 5, 3]]] },
  )
})
