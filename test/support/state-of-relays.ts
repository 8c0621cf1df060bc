// Where relays of a test run keep their state: in a temporary folder, as systemd would give them one, and not in that of
// the machine. Vitest calls it before the tests and after them.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export function setup(): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'derpfleet-state-'))
  process.env.STATE_DIRECTORY = folder
  return () => rmSync(folder, { recursive: true, force: true })
}
