// A folder of real files for one test, removed when the test ends.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export class TemporaryFolder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'derpfleet-'))

  /** The path of a name in the folder; creates nothing. */
  at(name: string): string {
    return join(this.path, name)
  }

  /** Writes a file and its folders; returns its path. */
  write(name: string, text: string, mode = 0o600): string {
    const path = this.at(name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, text, { mode })
    return path
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}
