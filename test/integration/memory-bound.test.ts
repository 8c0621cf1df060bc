// The bound of a relay's memory over a real process: clients come until it is reached, the next are refused and the relay is not
// ready; those who are here are served, and new ones are when the operator gives it more.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { ReloadingRelay } from '../support/reloading-relay.ts'

/** Some hundred clients: so few that a test has them, and so many that it is not noise. */
const ROOM_BYTES = 16_777_216
const CLIENTS_MAX = 3_000
const START_MS = 9_000
const REFUSED = 'derp_connections_out_of_memory_total'
const MIB = 1_048_576

function config(bytes: number): string {
  return `open-relay: true\nmemory-bytes: ${Math.ceil(bytes / MIB)}MiB\n`
}

it('refuses connections beyond the bound, and serves those who are here', async () => {
  await using relay = await ReloadingRelay.start('open-relay: true\nmemory-bytes: 0\n')
  const [alice, bob] = [await relay.client(), await relay.client()]
  // What the start took is given back after five quiet seconds, and clients would come into that.
  await sleep(START_MS)
  const resident = (await relay.metric('process_resident_memory_bytes')) ?? 0
  expect((await relay.reload(config(resident + ROOM_BYTES))).code).toBe(0)
  expect((await relay.get('/readyz', 'admin')).status).toBe(200)
  let clients = 0
  for (; clients < CLIENTS_MAX; clients += 20) {
    const more = Array.from({ length: 20 }, async () => await relay.isAdmitted({ key: newKeyPair() }))
    if ((await Promise.all(more)).includes(false)) break
  }
  expect(clients).toBeLessThan(CLIENTS_MAX)
  // Not because of something else.
  expect(await relay.metric(REFUSED)).toBeGreaterThan(0)
  expect(relay.logged('memory_short').length).toBeGreaterThan(0)
  const health = await relay.get('/readyz', 'admin')
  expect([health.status, await health.text()]).toEqual([
    503,
    expect.stringContaining('new connections are refused'),
  ])
  const heard = new Promise((arrived) => bob.on('packet', arrived))
  alice.send(bob.publicKey, Buffer.from('hello'))
  await heard
  await alice.ping()
  expect((await relay.reload(config(resident + 100 * ROOM_BYTES))).code).toBe(0)
  expect(await relay.isAdmitted()).toBe(true)
  await expect.poll(() => relay.logged('memory_enough')).toHaveLength(1)
  await expect.poll(async () => (await relay.get('/readyz', 'admin')).status, { timeout: 5_000 }).toBe(200)
}, 120_000)
