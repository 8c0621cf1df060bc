// Makes the relay of a thread from the settings. Construction only. Runs on a relay thread.

import { randomBytes } from 'node:crypto'
import { OPEN_ADMISSION } from '#admission/remote-admission.ts'
import type { Counters } from '#relay/counters.ts'
import type { Admission, Observer, OtherThreads, Routes } from '#relay/ports.ts'
import { Relay } from '#relay/relay.ts'
import { later, now } from './clock.ts'
import type { RelayThreadData } from './thread-messages.ts'

export interface RelaySetup {
  readonly data: RelayThreadData
  /** Distinguishes this run of the relay from any other. */
  readonly instance: string
  readonly counters: Counters
  /** Not asked if the relay is open to everybody. */
  readonly admission: Admission
  readonly observer: Observer
  readonly routes: Routes
  readonly threads: OtherThreads
}

export function makeRelay(setup: RelaySetup): Relay {
  const { instance, counters, admission, observer, routes, threads } = setup
  const { settings } = setup.data
  const flush = (): void => relay.flushQueue.flush()
  const relay: Relay = new Relay({
    nodeKey: settings.nodeKey,
    meshKeys: settings.meshKeys,
    disallowedAppNames: settings.disallowedAppNames,
    instance,
    limits: {
      ...settings.limits,
      waitingBytesMax: settings.limits.waitingBytesMax / settings.threadCount,
    },
    counters,
    admission: settings.admission.isOpen ? OPEN_ADMISSION : admission,
    observer,
    routes,
    now,
    random: (bytes) => randomBytes(bytes),
    later,
    flushLater: () => void setImmediate(flush),
    threads,
  })
  return relay
}
