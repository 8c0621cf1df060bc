// The key directory as operators see it: whether its servers are reached, and what they answered. That they are not is
// no reason to send clients elsewhere, so the check passes and says what does not work meanwhile.

import { directoryFamilies, type DirectoryFigures } from './directory-families.ts'
import type { MetricFamily } from './metric-family.ts'
import type { HealthCheck, CheckOutcome } from './health.ts'

export class DirectoryWatch implements HealthCheck {
  readonly name = 'key_directory'
  readonly #read: () => DirectoryFigures | undefined

  /** @param read undefined where there is no key directory */
  constructor(read: () => DirectoryFigures | undefined) {
    this.#read = read
  }

  check(): CheckOutcome {
    const figures = this.#read()
    if (figures === undefined) return { isOk: true, detail: 'none' }
    const { isConnected, detail } = figures
    if (isConnected) return { isOk: true, detail: `connected to ${detail}` }
    return { isOk: true, detail: `away: ${detail}; keys of other regions are not found` }
  }

  families(): MetricFamily[] {
    return directoryFamilies(this.#read())
  }
}
