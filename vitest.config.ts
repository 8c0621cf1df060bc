import { defineConfig } from 'vitest/config'

const HOSTILE = 'test/hostile/**/*.test.ts'
const LOAD = 'test/load/**/*.test.ts'
const DEPLOY = 'test/deploy/**/*.test.ts'
const CHART = 'test/chart/**/*.test.ts'

export default defineConfig({
  test: {
    // Real processes, TLS and builds share two cores with the tests; a hanging test still ends.
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Most files wait for processes and deadlines: two at once take half the time, also where two cores would get one.
    maxWorkers: 2,
    globalSetup: ['test/support/state-of-relays.ts', 'test/support/built-program.ts'],
    projects: [
      {
        extends: true,
        test: {
          name: 'tests',
          include: ['test/**/*.test.ts'],
          exclude: [HOSTILE, LOAD, DEPLOY, '**/node_modules/**'],
          sequence: { groupOrder: 1 },
        },
      },
      // Not 0: that is no order at all. Attacks load both cores and watch a relay's memory: they come last, one at a time.
      {
        extends: true,
        test: { name: 'hostile', include: [HOSTILE], fileParallelism: false, sequence: { groupOrder: 2 } },
      },
      // The load is all that two cores carry; beside other tests it would be more.
      {
        extends: true,
        test: { name: 'load', include: [LOAD], fileParallelism: false, sequence: { groupOrder: 3 } },
      },
      // Minutes for each file, with programs that few have: only by `npm run test:deploy`, which also makes Helm for the chart's.
      {
        extends: true,
        test: {
          name: 'deploy',
          include: [DEPLOY, CHART],
          fileParallelism: false,
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
})
