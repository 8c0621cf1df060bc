// Warns of files that hold a secret and that other users may read. Reads nothing itself.

import type { Diagnostics } from './diagnostics.ts'

export function warnIfShared(path: string, mode: number, diagnostics: Diagnostics): void {
  if ((mode & 0o007) === 0) return
  const digits = (mode & 0o777).toString(8).padStart(4, '0')
  diagnostics.addWarning(
    `${path}: this secret is readable by every user of this host (mode ${digits}); expected mode 0600`,
  )
}
