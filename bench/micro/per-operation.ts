// How micro benchmarks measure: many operations between two readings of the clock, because most take less time than a
// reading does. The figure of each round is its mean; the median over rounds is printed, so that a round during which
// the machine did something else has no effect.

import type { BenchFn, BenchRegistration, BenchRunOptions } from 'vitest'

/** Thousands of rounds of most benchmarks; the whole collection stays under a minute. */
const BRIEFLY: BenchRunOptions = { time: 500, warmupTime: 150 }

/** @param prepare work before each round that is not counted */
export function perOperation(operations: number, work: () => void, prepare?: () => void): BenchFn {
  return () => {
    prepare?.()
    const startMs = performance.now()
    work()
    const tookMs = performance.now() - startMs
    return { overriddenDuration: tookMs / operations, overriddenIterationCost: tookMs }
  }
}

/** Measures one after another; each is reported when it is done. */
export async function measure(...subjects: readonly BenchRegistration<string>[]): Promise<void> {
  for (const subject of subjects) await subject.run(BRIEFLY)
}
