// A relay thread that takes the place of a dead one serves the certificate that is in use by then, not that of the start.

import { dirname } from 'node:path'
import { expect, it } from 'vitest'
import { goodPair } from '../config/certificates.ts'
import { byRename, fingerprintOf, presentedAt } from '../support/certificate-files.ts'
import { LiveRelay } from '../support/live-relay.ts'
import { causeFault, observeWorkers } from '../support/observed-workers.ts'

/** A thread starts within a second on an idle machine. */
const patiently = { timeout: 20_000 }

it('serves what was replaced before its start', async () => {
  const workers = observeWorkers()
  await using relay = await LiveRelay.start({ threadCount: 2, admin: { host: '127.0.0.1', port: 0 } })
  const pair = goodPair('localhost')
  byRename(dirname(relay.settings.certificate?.certificatePath ?? ''), 'localhost', pair)
  const presented = async (): Promise<Set<string>> =>
    new Set(await Promise.all(Array.from({ length: 16 }, async () => await presentedAt(relay.port))))
  await expect.poll(presented, patiently).toEqual(new Set([fingerprintOf(pair.certificate)]))
  // The other thread has nothing to do with it: the port is shared.
  causeFault(workers[0])
  await expect.poll(() => workers.length, patiently).toBe(3)
  await expect.poll(async () => await relay.page('/readyz'), patiently).toBe('ready\n')
  expect(await presented()).toEqual(new Set([fingerprintOf(pair.certificate)]))
})
