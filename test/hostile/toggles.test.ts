// Attack: clients that note this relay as their home and take it back, without end; a sibling that watches and reads nothing.
// Stage: mesh, session.
// Promise: a good client logs in within 2 s and sends a packet; a sibling that reads is told and kept.
// Bound: 48 MiB; no descriptor.
// Offender: the clients are kept and cost what their last word costs; the watcher that takes nothing is closed half a
// minute after the system holds no more for it, as `write_stalled`.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { notePreferredFrame, WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { attack, many, scaled } from './attack.ts'
import { Intruder, WAYS } from './intruder.ts'

const ATTACK_MS = 3_000
/** Lists of 500 clients fill what the system holds within seconds; then a sibling has its 30. */
const STALLED_WITHIN_MS = 75_000
const meshKey = new Uint8Array(32).fill(0xab)
const args = (folder: { write(name: string, text: string): string }): string[] => [
  '-mesh-psk-file',
  folder.write('mesh.key', 'ab'.repeat(32)),
]

attack('homes that change without end', {
  args,
  memoryMiB: { during: 48, after: 48 },
  run: async (target, stage) => {
    const watchers = await Promise.all(
      [{}, { wantsHomesOnly: true }].map(async (more) => {
        const watcher = stage.keep(await Intruder.logIn(target, 'upgrade', { info: { meshKey, ...more } }))
        await watcher.say(WATCH_CONNS_FRAME)
        return watcher
      }),
    )
    const toggles = Buffer.concat(
      Array.from({ length: 2_000 }, (_, at) => Buffer.from(notePreferredFrame(at % 2 === 0))),
    )
    const before = watchers.map(({ receivedBytes }) => receivedBytes)
    await many(scaled(30, 4), async (at) => {
      const client = stage.keep(await Intruder.logIn(target, WAYS[at % 3]))
      const taken = await client.flood(toggles, ATTACK_MS)
      expect(client.end).toBeUndefined()
      expect(taken).toBeGreaterThan(toggles.length)
    })
    expect(watchers.map(({ end }) => end)).toEqual([undefined, undefined])
    // Each change, told, would be some sixty bytes for six.
    for (const [at, { receivedBytes }] of watchers.entries()) {
      expect(receivedBytes - (before[at] ?? 0), 'bytes of news').toBeLessThan(1_048_576)
    }
  },
})

attack('a watcher that reads nothing', {
  args,
  memoryMiB: { during: 64, after: 48 },
  run: async (target, stage) => {
    const info = { appName: 'a'.repeat(32) }
    await many(500, async () => stage.keep(await Intruder.logIn(target, 'upgrade', { info })))
    const watcher = stage.keep(await Intruder.logIn(target, 'upgrade', { info: { meshKey } }))
    await watcher.say(WATCH_CONNS_FRAME)
    watcher.stopReading()
    const untilMs = performance.now() + ATTACK_MS
    await Promise.all(
      Array.from({ length: scaled(100, 16) }, async () => {
        while (performance.now() < untilMs) stage.keep(await Intruder.logIn(target)).reset()
      }),
    )
    const lastMs = performance.now() + STALLED_WITHIN_MS
    while ((await target.ended('write_stalled')) === 0) {
      expect(performance.now(), 'the watcher is still there').toBeLessThan(lastMs)
      // What it is told of is the longest that a sibling can have itself be told.
      for (let times = 0; times < 4; times++) await watcher.say(WATCH_CONNS_FRAME)
      await sleep(500)
    }
    expect(await watcher.ended(2_000)).toBe(true)
    expect(await target.count('derp_watchers_current')).toBe(0)
  },
})
