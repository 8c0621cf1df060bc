// Attack: clients that note this relay as their home and take it back, without end; a sibling that watches and reads nothing.
// Stage: mesh, session.
// Promise: a good client logs in within 2 s and sends a packet; a sibling that reads is told and kept.
// Bound: 48 MiB; no descriptor.
// Offender: the clients are kept and cost what their last word costs; the watcher that takes nothing is closed.

import { expect } from 'vitest'
import { notePreferredFrame, WATCH_CONNS_FRAME } from '#protocol/frames.ts'
import { attack, many, scaled } from './attack.ts'
import { Intruder, WAYS } from './intruder.ts'

const ATTACK_MS = 3_000
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
    const watcher = stage.keep(await Intruder.logIn(target, 'upgrade', { info: { meshKey } }))
    await watcher.say(WATCH_CONNS_FRAME)
    watcher.stopReading()
    const untilMs = performance.now() + ATTACK_MS
    await Promise.all(
      Array.from({ length: scaled(100, 16) }, async () => {
        while (performance.now() < untilMs) stage.keep(await Intruder.logIn(target)).reset()
      }),
    )
    // It may be kept as long as the news fit what the system holds for it.
    expect(target.memoryMiB).toBeLessThan(400)
  },
})
