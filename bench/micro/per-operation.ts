// How micro benchmarks measure: many operations between two looks at the clock, since most take less time than a
// look does. The figure of each round is its mean; the median over rounds is what is printed, so that a round
// during which the machine did something else counts for nothing.

import type { BenchFn, BenchRegistration, BenchRunOptions } from 'vitest'

/** Thousands of rounds of most subjects; and the whole collection stays under a minute. */
const BRIEFLY: BenchRunOptions = { time: 500, warmupTime: 150 }

/** @param prepare what must be done before each round and is not counted */
export function perOperation(operations: number, work: () => void, prepare?: () => void): BenchFn {
  return () => {
    prepare?.()
    const startMs = performance.now()
    work()
    const tookMs = performance.now() - startMs
    return { overriddenDuration: tookMs / operations, overriddenIterationCost: tookMs }
  }
}

/** Measures one after another, each reported when it is done. */
export async function measure(...subjects: readonly BenchRegistration<string>[]): Promise<void> {
  for (const subject of subjects) await subject.run(BRIEFLY)
}
