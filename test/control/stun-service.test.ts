// The STUN thread of a live relay, with real deaths.

import { setTimeout as sleep } from 'node:timers/promises'
import type { Worker } from 'node:worker_threads'
import { expect, it } from 'vitest'
import { askStun } from '#client/stun-request.ts'
import { DAY_MS } from '../config/certificates.ts'
import { LiveRelay } from '../support/live-relay.ts'
import { causeStunFault, observeWorkers } from '../support/observed-workers.ts'

const patiently = { timeout: 20_000 }
const anyPort = { host: '127.0.0.1', port: 0 }

/** How many IPv4 requests have been answered. */
async function answerCount(relay: LiveRelay): Promise<number> {
  const text = await relay.page('/metrics')
  return Number(/^stun_requests_total\{result="success",family="ipv4"\} (\d+)$/m.exec(text)?.[1])
}

async function isAnswered(port: number, timeoutMs: number): Promise<boolean> {
  return await askStun('127.0.0.1', port, timeoutMs).then(
    () => true,
    () => false,
  )
}

it('a STUN thread that dies is restarted on the same port; sessions and counters stay', async () => {
  const workers = observeWorkers()
  await using relay = await LiveRelay.start({ stun: anyPort, admin: anyPort })
  const port = relay.addresses.stun?.port ?? 0
  const alice = await relay.client()
  await askStun('127.0.0.1', port, 3_000)
  const before = await answerCount(relay)
  expect(before).toBeGreaterThan(0)
  for (const deaths of [1, 2, 3]) {
    causeStunFault(workers.at(-1))
    await expect.poll(() => workers.length, patiently).toBe(2 + deaths)
    await expect.poll(async () => await isAnswered(port, 1_000), patiently).toBe(true)
  }
  expect(await answerCount(relay)).toBeGreaterThanOrEqual(before + 3)
  expect(await relay.page('/metrics')).toContain('derp_thread_restarts_total{thread="stun"} 3\n')
  await alice.ping()
})

it('a restarted STUN thread stays silent while the relay can not serve', async () => {
  const workers = observeWorkers()
  await using relay = await LiveRelay.start({ stun: anyPort, admin: anyPort }, 8_000)
  const port = relay.addresses.stun?.port ?? 0
  await expect.poll(async () => await relay.page('/readyz'), patiently).toMatch(/expired at/)
  // The control thread looks once a second.
  await expect.poll(async () => await isAnswered(port, 500), patiently).toBe(false)
  causeStunFault(workers.at(-1))
  await expect.poll(() => workers.length, patiently).toBe(3)
  await expect(askStun('127.0.0.1', port, 3_000)).rejects.toThrow('no STUN answer')
})

it('a stopping relay silences STUN no later than it closes its clients', async () => {
  const relay = await LiveRelay.start({ stun: anyPort }, DAY_MS)
  const port = relay.addresses.stun?.port ?? 0
  const alice = await relay.client()
  const closed = alice.next('closed')
  const stopped = relay[Symbol.asyncDispose]()
  await closed
  await expect(askStun('127.0.0.1', port, 300)).rejects.toThrow()
  await stopped
})

it('a relay that is stopped before a restart of its STUN thread is due starts none', async () => {
  const workers = observeWorkers()
  const relay = await LiveRelay.start({ stun: anyPort })
  // The fourth restart has the longest delay: 400 ms.
  for (let deaths = 1; deaths <= 4; deaths++) {
    const dying = workers.at(-1) as Worker
    const ended = new Promise((resolve) => void dying.once('exit', resolve))
    causeStunFault(dying)
    await ended
    if (deaths < 4) await expect.poll(() => workers.length, patiently).toBe(2 + deaths)
  }
  await relay[Symbol.asyncDispose]()
  await sleep(1_000)
  expect(workers.length).toBe(5)
})
