// Attack: clients that send as fast as they may, each many times over its rate limit.
// Stage: session, in every way in, TLS and plain, side by side in one relay.
// Promise: a good client logs in within 2 s and sends a packet; the pair that has nothing to do with it stays.
// Bound: after a warm-up as long as the measurement, bytes read of all are at most their rates × time + 1 MiB; what each
// gets rid of besides is in the system's buffers, which take it by megabytes, and never more than they hold. The median of
// three measurements' growth of resident memory is at most 8 MiB, for all ways together.
// Offender: is read at its rate, and stays.

import { setTimeout as sleep } from 'node:timers/promises'
import { readFileSync, writeFileSync } from 'node:fs'
import { expect } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { sendPacketFrame } from '#protocol/frames.ts'
import { attack, type Stage } from './attack.ts'
import { Intruder, WAYS } from './intruder.ts'
import type { Target, TargetOptions } from './target.ts'

const BYTES_PER_SECOND = 100_000
/** Of one measurement; ten is what an operator would be told, three tell as much. */
const WINDOW_MS = Number(process.env['HOSTILE_WINDOW_S'] ?? 3) * 1_000
const GROWTH_MIB_MAX = 8
const MIB = 1_048_576

/** What the system's buffers of both sides take of one connection at most. */
function systemBytesMax(): number {
  const most = (name: string): number =>
    Number(readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8').trim().split(/\s+/).at(-1))
  return most('tcp_wmem') + most('tcp_rmem')
}

const args: TargetOptions['args'] = (folder) => {
  const limits = {
    PerClientRateLimitBytesPerSec: BYTES_PER_SECOND,
    PerClientRateBurstBytes: BYTES_PER_SECOND,
  }
  writeFileSync(folder.at('rate.json'), JSON.stringify(limits))
  return ['-rate-config', folder.at('rate.json')]
}

async function flood(target: Target, stage: Stage): Promise<void> {
  const senders = await Promise.all(WAYS.map(async (way) => stage.keep(await Intruder.logIn(target, way))))
  const packet = sendPacketFrame(newKeyPair().publicKey, Buffer.alloc(60_000))
  let isOver = false
  const taken = senders.map(() => 0)
  const sending = senders.map(async (sender, at) => {
    while (!isOver && sender.end === undefined && !sender.socket.destroyed)
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
    const allowed = WAYS.length * BYTES_PER_SECOND * seconds
    process.stdout.write(`${target.door}: read ${read} bytes in ${seconds.toFixed(1)} s, of ${allowed}\n`)
    // At their rates and not less; the bystander adds a little.
    expect(read / allowed, 'share of their rates').toBeGreaterThan(0.5)
    expect(read, 'bytes of all').toBeLessThanOrEqual(allowed + MIB)
  }
  const allSeconds = (performance.now() - startMs) / 1_000
  for (const [at, way] of WAYS.entries()) {
    const bytes = (taken[at] ?? 0) - (takenBefore[at] ?? 0)
    process.stdout.write(`${target.door}, ${way}: rid of ${bytes} bytes in ${allSeconds.toFixed(1)} s\n`)
    expect(bytes, way).toBeLessThanOrEqual(BYTES_PER_SECOND * allSeconds + MIB + systemBytesMax())
    expect(senders[at]?.end, way).toBe(undefined)
  }
  isOver = true
  await Promise.all(sending)
  const [, medianMiB = 0] = grownMiB.toSorted((a, b) => a - b)
  process.stdout.write(
    `${target.door}: memory grew by ${grownMiB.map((mib) => mib.toFixed(1)).join(', ')} MiB\n`,
  )
  expect(medianMiB, 'MiB more').toBeLessThanOrEqual(GROWTH_MIB_MAX)
}

const memoryMiB = { during: 48, after: 48 }
attack('over the rate limit', { args, memoryMiB, run: flood })
attack('over the rate limit on a plain port', { args, door: 'plain', memoryMiB, run: flood })
