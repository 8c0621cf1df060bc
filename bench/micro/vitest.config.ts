import { defineConfig } from 'vitest/config'
import { TimePerOperation } from './time-per-operation.ts'

export default defineConfig({
  test: {
    // Nothing of this belongs to `npm test`.
    include: [],
    benchmark: { include: ['bench/micro/*.bench.ts'] },
    // What is measured runs as Node runs it, not as Vite would rewrite its imports.
    experimental: { viteModuleRunner: false, nodeLoader: false },
    // A process of its own for each file, one after the other: the types that one subject shows to the compiler
    // must not slow another's code, and two at once would measure each other.
    fileParallelism: false,
    testTimeout: 60_000,
    reporters: [new TimePerOperation()],
  },
})
