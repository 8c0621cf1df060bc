// The key directory as operators see it: whether a server is connected, and the numbers of answers. The check always
// passes, because another relay would serve clients no better. During an outage its detail names the effect.

import { directoryFamilies, type DirectoryFigures } from './directory-families.ts'
import type { MetricFamily } from './metric-family.ts'
import type { HealthCheck, CheckOutcome } from './health.ts'

export class DirectoryWatch implements HealthCheck {
  readonly name = 'key_directory'
  readonly #read: () => DirectoryFigures | undefined

  /** @param read answers undefined without a key directory */
  constructor(read: () => DirectoryFigures | undefined) {
    this.#read = read
  }

  check(): CheckOutcome {
    const figures = this.#read()
    if (figures === undefined) return { isOk: true, detail: 'no key directory configured' }
    const { isConnected, detail } = figures
    if (isConnected) return { isOk: true, detail: `connected to ${detail}` }
    return { isOk: true, detail: `disconnected: ${detail}; new keys of other regions are not found` }
  }

  families(): MetricFamily[] {
    return directoryFamilies(this.#read())
  }
}
