// The kernel's timer for poll rounds, for real. Skipped where koffi has no build; then the event loop's own timer is used.

import { Worker } from 'node:worker_threads'
import { describe, expect, it, onTestFinished } from 'vitest'
import { loadNative, type Native } from '#transport/native.ts'
import { LOOP_TIMER, KernelTimer } from '#transport/round-timer.ts'

const loaded = await loadNative().catch((error: Error) => error)
if (loaded instanceof Error) process.stderr.write(`SKIPPING timers of the kernel: ${loaded.message}\n`)
const native = loaded as Native

const INTERVAL_MS = 0.25
const ROUNDS = 400

async function opened(): Promise<KernelTimer> {
  const timer = await KernelTimer.open(native, INTERVAL_MS)
  onTestFinished(() => timer.close())
  return timer
}

/** How long each of so many waits took. */
async function waitsOf(timer: KernelTimer, ms: number, count: number): Promise<number[]> {
  const waitedMs: number[] = []
  for (let round = 0; round < count; round++) {
    const since = performance.now()
    await new Promise<void>((resolve) => timer.after(ms, resolve))
    waitedMs.push(performance.now() - since)
  }
  return waitedMs
}

describe.skipIf(loaded instanceof Error)('a timer of the kernel', () => {
  it('calls back once, never early, and most often sooner than the event loop can', async () => {
    const waitedMs = await waitsOf(await opened(), INTERVAL_MS, ROUNDS)
    expect(waitedMs).toHaveLength(ROUNDS)
    expect(Math.min(...waitedMs)).toBeGreaterThanOrEqual(INTERVAL_MS)
    // On a busy machine most may be late, and some are not.
    expect(Math.min(...waitedMs)).toBeLessThan(LOOP_TIMER.intervalMs)
  })

  it('leaves the thread to everything else meanwhile', async () => {
    const timer = await opened()
    let turns = 0
    let isOver = false
    timer.after(0.9, () => (isOver = true))
    while (!isOver) {
      turns++
      await new Promise(setImmediate)
    }
    expect(turns).toBeGreaterThan(1)
  })

  it('waits for fractions of a millisecond beyond the first', async () => {
    const waitedMs = await waitsOf(await opened(), 1.5, 50)
    expect(Math.min(...waitedMs)).toBeGreaterThanOrEqual(1.5)
    expect(Math.min(...waitedMs)).toBeLessThan(2)
  })

  it('writes to no memory but its own, whatever the collector does', async () => {
    const timer = await opened()
    let rounds = 0
    const next = (): void => {
      if (++rounds < ROUNDS) timer.after(0.05, next)
    }
    timer.after(0.05, next)
    while (rounds < ROUNDS) {
      const garbage = Array.from({ length: 2_000 }, () => Buffer.alloc(8))
      await new Promise(setImmediate)
      expect(garbage.every((one) => one.readBigUInt64LE() === 0n)).toBe(true)
    }
  })

  it('does not keep its thread alive, and ends with it', async () => {
    const code = `
      const { loadNative } = await import(${JSON.stringify(import.meta.resolve('#transport/native.ts'))})
      const { KernelTimer } = await import(${JSON.stringify(import.meta.resolve('#transport/round-timer.ts'))})
      const timer = await KernelTimer.open(await loadNative(), ${INTERVAL_MS})
      timer.after(${INTERVAL_MS}, () => undefined)`
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`))
    expect(await new Promise((resolve) => worker.once('exit', resolve).once('error', resolve))).toBe(0)
  })

  it('is refused where the calls do not work', async () => {
    const refused = KernelTimer.open({ ...calls(), makeTimer: () => -24 }, INTERVAL_MS)
    await expect(refused).rejects.toThrow('EMFILE')
    // A descriptor that cannot be waited for.
    const closed = native.makeTimer()
    native.close(closed)
    await expect(KernelTimer.open({ ...calls(), makeTimer: () => closed }, INTERVAL_MS)).rejects.toThrow()
  })
})

function calls(): Pick<Native, 'close' | 'makeTimer' | 'startTimer'> {
  return {
    close: (descriptor) => native.close(descriptor),
    makeTimer: () => native.makeTimer(),
    startTimer: (timer, us) => native.startTimer(timer, us),
  }
}
