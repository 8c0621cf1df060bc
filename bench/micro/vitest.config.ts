import { defineConfig } from 'vitest/config'
import { TimePerOperation } from './time-per-operation.ts'

export default defineConfig({
  test: {
    // `npm test` runs none of this.
    include: [],
    benchmark: { include: ['bench/micro/*.bench.ts'] },
    // The code runs as Node runs it, without Vite's rewriting of imports.
    experimental: { viteModuleRunner: false, nodeLoader: false },
    // A process for each file, one after the other: types that the compiler has seen in one benchmark must not slow
    // another's code, and two at once would disturb each other.
    fileParallelism: false,
    testTimeout: 60_000,
    reporters: [new TimePerOperation()],
  },
})
