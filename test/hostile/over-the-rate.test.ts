// Attack: clients that send as fast as they can, many times faster than their rate limit.
// Stage: session, with every kind of upgrade at once in one relay; TLS and plain.
// Promise: a good client logs in within 2 s and sends a packet; the bystanders stay connected.
// Bound: after a warm-up as long as a measurement, the bytes read of all clients are at most their rates × time + 1 MiB. What a
// client sends beyond that is in the system's buffers, which take megabytes, and is never more than they hold. The median growth
// of resident memory in three measurements is at most 8 MiB, for all clients together.
// Offender: is read at its rate, and stays connected.

import { setTimeout as sleep } from 'node:timers/promises'
import { readFileSync, writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { sendPacketFrame } from '#protocol/frames.ts'
import { attack, type AttackContext } from './attack.ts'
import { Intruder, UPGRADES } from './intruder.ts'
import type { Target, TargetOptions } from './target.ts'

const BYTES_PER_SECOND = 100_000
/** Length of one measurement. Three seconds tell as much as ten, which is what an operator would use. */
const WINDOW_MS = Number(process.env['HOSTILE_WINDOW_S'] ?? 3) * 1_000
const GROWTH_MIB_MAX = 8
const MIB = 1_048_576

/** The most that the system's buffers of both sides hold of one connection. */
function systemBytesMax(): number {
  const limit = (name: string): number =>
    Number(readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8').trim().split(/\s+/).at(-1))
  return limit('tcp_wmem') + limit('tcp_rmem')
}

const args: TargetOptions['args'] = (folder) => {
  const limits = {
    PerClientRateLimitBytesPerSec: BYTES_PER_SECOND,
    PerClientRateBurstBytes: BYTES_PER_SECOND,
  }
  writeFileSync(folder.at('rate.json'), JSON.stringify(limits))
  return ['-rate-config', folder.at('rate.json')]
}

async function flood(target: Target, context: AttackContext): Promise<void> {
  const senders = await Promise.all(
    UPGRADES.map(async (kind) => context.keep(await Intruder.logIn(target, kind))),
  )
  const packet = sendPacketFrame(newKeyPair().publicKey, Buffer.alloc(60_000))
  let isDone = false
  const taken = senders.map(() => 0)
  const sending = senders.map(async (sender, at) => {
    while (!isDone && sender.end === undefined && !sender.socket.destroyed)
      taken[at] = (taken[at] ?? 0) + (await sender.flood(packet, 200))
  })
  await sleep(WINDOW_MS)
  const grownMiB: number[] = []
  const [takenBefore, startMs] = [[...taken], performance.now()]
  for (let measurement = 0; measurement < 3; measurement++) {
    const [beforeMiB, sinceMs] = [target.memoryMiB, performance.now()]
    const readBefore = await target.count('derp_wire_bytes_total', 'direction="in"')
    await sleep(WINDOW_MS)
    grownMiB.push(target.memoryMiB - beforeMiB)
    const read = (await target.count('derp_wire_bytes_total', 'direction="in"')) - readBefore
    const seconds = (performance.now() - sinceMs) / 1_000
    const allowed = UPGRADES.length * BYTES_PER_SECOND * seconds
    process.stdout.write(`${target.portKind}: read ${read} bytes in ${seconds.toFixed(1)} s, of ${allowed}\n`)
    // They are read at their rates; the bystanders add a little.
    expect(read / allowed, 'share of their rates that was read').toBeGreaterThan(0.5)
    expect(read, 'bytes read of all').toBeLessThanOrEqual(allowed + MIB)
  }
  const allSeconds = (performance.now() - startMs) / 1_000
  for (const [at, kind] of UPGRADES.entries()) {
    const bytes = (taken[at] ?? 0) - (takenBefore[at] ?? 0)
    process.stdout.write(`${target.portKind}, ${kind}: sent ${bytes} bytes in ${allSeconds.toFixed(1)} s\n`)
    expect(bytes, kind).toBeLessThanOrEqual(BYTES_PER_SECOND * allSeconds + MIB + systemBytesMax())
    expect(senders[at]?.end, kind).toBe(undefined)
  }
  isDone = true
  await Promise.all(sending)
  const [, medianMiB = 0] = grownMiB.toSorted((a, b) => a - b)
  process.stdout.write(
    `${target.portKind}: memory grew by ${grownMiB.map((mib) => mib.toFixed(1)).join(', ')} MiB\n`,
  )
  expect(medianMiB, 'growth of memory, MiB').toBeLessThanOrEqual(GROWTH_MIB_MAX)
}

const memoryMiB = { during: 48, after: 48 }
attack('over the rate limit', { args, memoryMiB, run: flood })
attack('over the rate limit on a plain port', { args, portKind: 'plain', memoryMiB, run: flood })
