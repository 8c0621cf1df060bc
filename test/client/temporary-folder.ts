// A folder of its own for each test file that needs one, gone with the file's last test.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'

/** To be called while tests are declared; the answer gives the path once they run. */
export function temporaryFolder(): () => string {
  let path = ''
  beforeAll(async () => {
    path = await mkdtemp(join(tmpdir(), 'derpfleet-'))
  })
  afterAll(() => rm(path, { recursive: true, force: true }))
  return () => path
}
