// Attack: clients that note this relay as their home and withdraw it, endlessly; a sibling that watches and reads nothing.
// Stage: mesh, session.
// Promise: a good client logs in within 2 s and sends a packet; a sibling that reads gets presence frames and stays connected.
// Bound: 48 MiB after the attack, 64 MiB during that of the sibling; no descriptor.
// Offender: the clients are kept, and cost what their last change costs. The watcher that reads nothing is closed within half
// a minute after the system's buffers for it are full: by the kernel's time limit if that is set (unacknowledged), else by the
// relay's (write_stalled).

import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { notePreferredFrame, WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { attack, many, scaled } from './attack.ts'
import { Intruder, UPGRADES } from './intruder.ts'

const ATTACK_MS = 3_000
/** Presence frames of 500 clients fill the system's buffers within seconds; then a sibling has 30 s. */
const STALLED_WITHIN_MS = 75_000
const meshKey = new Uint8Array(32).fill(0xab)
const args = (folder: { write(name: string, text: string): string }): string[] => [
  '-mesh-psk-file',
  folder.write('mesh.key', 'ab'.repeat(32)),
]

attack('homes that change endlessly', {
  args,
  memoryMiB: { during: 48, after: 48 },
  run: async (target, context) => {
    const watchers = await Promise.all(
      [{}, { wantsHomesOnly: true }].map(async (more) => {
        const watcher = context.keep(await Intruder.logIn(target, 'raw', { info: { meshKey, ...more } }))
        await watcher.send(WATCH_CONNS_FRAME)
        return watcher
      }),
    )
    const toggles = Buffer.concat(
      Array.from({ length: 2_000 }, (_, at) => Buffer.from(notePreferredFrame(at % 2 === 0))),
    )
    const before = watchers.map(({ receivedBytes }) => receivedBytes)
    await many(scaled(30, 4), async (at) => {
      const client = context.keep(await Intruder.logIn(target, UPGRADES[at % 3]))
      const taken = await client.flood(toggles, ATTACK_MS)
      expect(client.end).toBeUndefined()
      expect(taken).toBeGreaterThan(toggles.length)
    })
    expect(watchers.map(({ end }) => end)).toEqual([undefined, undefined])
    // If each change were reported, some sixty bytes would be sent for six.
    for (const [at, { receivedBytes }] of watchers.entries()) {
      expect(receivedBytes - (before[at] ?? 0), 'bytes of presence frames').toBeLessThan(1_048_576)
    }
  },
})

attack('a watcher that reads nothing', {
  args,
  memoryMiB: { during: 64, after: 48 },
  run: async (target, context) => {
    const info = { appName: 'a'.repeat(32) }
    await many(500, async () => context.keep(await Intruder.logIn(target, 'raw', { info })))
    const watcher = context.keep(await Intruder.logIn(target, 'raw', { info: { meshKey } }))
    await watcher.send(WATCH_CONNS_FRAME)
    watcher.stopReading()
    const untilMs = performance.now() + ATTACK_MS
    await Promise.all(
      Array.from({ length: scaled(100, 16) }, async () => {
        while (performance.now() < untilMs) context.keep(await Intruder.logIn(target)).reset()
      }),
    )
    const lastMs = performance.now() + STALLED_WITHIN_MS
    const stalled = async (): Promise<number> =>
      (await target.ended('write_stalled')) + (await target.ended('unacknowledged'))
    while ((await stalled()) === 0) {
      expect(performance.now(), 'the watcher is still connected').toBeLessThan(lastMs)
      // With every WatchConns it is sent the whole list of clients.
      for (let times = 0; times < 4; times++) await watcher.send(WATCH_CONNS_FRAME)
      await sleep(500)
    }
    expect(await watcher.ended(2_000)).toBe(true)
    expect(await target.count('derp_watchers_current')).toBe(0)
  },
})
