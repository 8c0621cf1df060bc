// A temporary folder for one test file, removed after its last test.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'

/** To be called while tests are declared. Returns a function that gives the path when they run. */
export function temporaryFolder(): () => string {
  let path = ''
  beforeAll(async () => {
    path = await mkdtemp(join(tmpdir(), 'derpfleet-'))
  })
  afterAll(() => rm(path, { recursive: true, force: true }))
  return () => path
}
