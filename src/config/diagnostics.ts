// The results of resolving besides the settings: problems, warnings, and files to create before the start. One object
// is passed to all parts of the resolution, so that each part is checked whatever the others found.

import type { Problem } from '#fleet/problem.ts'
import { withoutSecrets } from '#fleet/secret-mask.ts'
import type { NewFile } from './new-files.ts'

export class Diagnostics {
  readonly problems: Problem[] = []
  readonly warnings: string[] = []
  readonly newFiles: NewFile[] = []

  /** Returns undefined, for the caller to return in place of a value. */
  addProblem(where: string, found: string, expected = ''): undefined {
    this.problems.push({ where, found, expected })
  }

  addWarning(text: string): void {
    this.warnings.push(withoutSecrets(text))
  }

  addNewFile(file: NewFile): void {
    this.newFiles.push(file)
  }
}
