import { defineConfig } from 'vitest/config'

const HOSTILE = 'test/hostile/**/*.test.ts'
const LOAD = 'test/load/**/*.test.ts'
const DEPLOY = 'test/deploy/**/*.test.ts'
const CHART = 'test/chart/**/*.test.ts'
/** Of the tests of deployments, those that measure how soon something happens. */
const DEPLOY_TIMED = ['generated-fleet', 'image', 'monitoring'].map((name) => `test/deploy/${name}.test.ts`)
/** Of a test or hook there; what takes longer says so itself. Clusters, containers and fleets start in them. */
const DEPLOY_LIMITS = { testTimeout: 60_000, hookTimeout: 180_000 }

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
      // The cluster waits for most of its time, so another file runs beside it.
      {
        extends: true,
        test: {
          name: 'deploy',
          include: [DEPLOY, CHART],
          exclude: [...DEPLOY_TIMED, '**/node_modules/**'],
          ...DEPLOY_LIMITS,
          sequence: { groupOrder: 4 },
        },
      },
      {
        extends: true,
        test: {
          name: 'deploy-timed',
          include: DEPLOY_TIMED,
          ...DEPLOY_LIMITS,
          fileParallelism: false,
          sequence: { groupOrder: 5 },
        },
      },
    ],
  },
})
