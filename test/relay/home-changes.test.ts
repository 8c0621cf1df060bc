import { describe, expect, it } from 'vitest'
import { alice, cathy, sibling } from '../support/actor.ts'
import { SWEEP_EVERY_MS, TestRelay } from '../support/test-relay.ts'
import { frames } from '../vectors/frames.ts'
import { meshKey } from '../vectors/keys.ts'

const present = expect.stringMatching(/^PeerPresent alice/) as string
const gone = 'PeerGone alice disconnected'

/**
 * alice on the first thread, a sibling of another region that watches on the last, and what the key directory is told.
 */
function watchedAlice(threads: number) {
  const directory: boolean[] = []
  const relay = new TestRelay({ threads, homeChanged: (_key, isHome) => directory.push(isHome) })
  const a = relay.join(alice)
  const far = relay.connect(sibling, { thread: threads - 1 }).logIn({ meshKey, wantsHomesOnly: true })
  far.send(frames.watchConns).take()
  return { relay, a, far, directory }
}

describe.each([
  ['on one thread', 1],
  ['across threads', 2],
])('%s', (_where, threads) => {
  it('a home note and its end reach watchers of homes and the directory at once, if they are rare', () => {
    const { relay, a, far, directory } = watchedAlice(threads)
    for (const [note, line] of [
      [frames.notePreferredYes, present],
      [frames.notePreferredNo, gone],
      [frames.notePreferredYes, present],
    ] as const) {
      a.send(note)
      expect(far.take()).toEqual([line])
      relay.pass(1_000)
      expect(far.take()).toEqual([])
    }
    expect(directory).toEqual([true, false, true])
  })

  it.each([
    ['home', frames.notePreferredYes],
    ['no home', frames.notePreferredNo],
  ])(
    'a client that keeps changing its note causes one update per sweep at most, and the last one is right: %s',
    (_, last) => {
      const { relay, a, far, directory } = watchedAlice(threads)
      const sweeps = 6
      const toggles = Buffer.concat([frames.notePreferredYes, frames.notePreferredNo])
      for (let sweep = 0; sweep < sweeps; sweep++) {
        // Eight of the calls make a whole sweep.
        for (let part = 0; part < 8; part++) {
          for (let n = 0; n < 30; n++) a.send(toggles).settled()
          a.send(sweep % 2 === 0 ? frames.notePreferredYes : frames.notePreferredNo).settled()
          relay.pass(SWEEP_EVERY_MS)
        }
      }
      a.send(last).settled()
      relay.pass(2_000)
      const lines = far.take()
      expect(lines.length).toBeLessThanOrEqual(sweeps + 2)
      expect(directory.length).toBe(lines.length)
      for (const [n, line] of lines.entries()) expect(line).toEqual(n % 2 === 0 ? present : gone)
      const isHome = last === frames.notePreferredYes
      expect(lines.length % 2).toBe(isHome ? 1 : 0)
      // A later watcher is told the same.
      const late = relay.connect(cathy, { thread: threads - 1 }).logIn({ meshKey, wantsHomesOnly: true })
      late.take()
      expect(late.send(frames.watchConns).take()).toEqual(isHome ? [present] : [])
    },
  )

  it('the end of the last session is told at once, and so is the note of a client that comes back', () => {
    const { relay, a, far } = watchedAlice(threads)
    a.send(frames.notePreferredYes)
    expect(far.take()).toEqual([present])
    a.hangUp()
    expect(far.take()).toEqual([gone])
    relay.join(alice).send(frames.notePreferredYes)
    expect(far.take()).toEqual([present])
  })
})
