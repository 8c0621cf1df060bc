import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Real processes, TLS and builds share two cores with the tests; a hanging test still ends.
    testTimeout: 30_000,
    hookTimeout: 60_000,
  },
})
