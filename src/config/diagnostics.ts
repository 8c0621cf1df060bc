// What resolving gathers beside the settings: complaints, remarks, and files that have to be made before the start.
// One object handed through all parts, so that every part is examined whatever the others found.

import type { NewFile } from './new-files.ts'
import type { Problem } from '#fleet/problem.ts'
import { withoutSecrets } from '#fleet/secret-mask.ts'

export class Findings {
  readonly problems: Problem[] = []
  readonly warnings: string[] = []
  readonly newFiles: NewFile[] = []

  /** Adds a complaint; answers undefined, to be returned in the place of a value. */
  complain(where: string, found: string, expected = ''): undefined {
    this.problems.push({ where, found, expected })
  }

  warn(text: string): void {
    this.warnings.push(withoutSecrets(text))
  }

  create(file: NewFile): void {
    this.newFiles.push(file)
  }
}
