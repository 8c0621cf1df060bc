// The STUN thread of a live relay, dying for real.

import { expect, it } from 'vitest'
import { askStun } from '#client/stun-request.ts'
import { DAY_MS } from '../config/certificates.ts'
import { LiveRelay } from '../support/live-relay.ts'
import { observeWorkers } from '../support/observed-workers.ts'

const patiently = { timeout: 20_000 }
const anywhere = { host: '127.0.0.1', port: 0 }

async function answered(relay: LiveRelay): Promise<number> {
  const text = await relay.page('/metrics')
  return Number(/^stun_requests_total\{result="success",family="ipv4"\} (\d+)$/m.exec(text)?.[1])
}

it('dies, and is back on the same port: sessions stay, what it counted stays counted', async () => {
  const workers = observeWorkers()
  await using relay = await LiveRelay.start({ stun: anywhere, admin: anywhere })
  const port = relay.addresses.stun?.port ?? 0
  const alice = await relay.client()
  await askStun('127.0.0.1', port, 3_000)
  const before = await answered(relay)
  expect(before).toBeGreaterThan(0)
  for (const deaths of [1, 2, 3]) {
    // Not a message that it knows.
    workers.at(-1)?.postMessage(null)
    await expect.poll(() => workers.length, patiently).toBe(2 + deaths)
    await expect
      .poll(
        async () =>
          await askStun('127.0.0.1', port, 1_000).then(
            () => true,
            () => false,
          ),
        patiently,
      )
      .toBe(true)
  }
  expect(await answered(relay)).toBeGreaterThanOrEqual(before + 3)
  expect(await relay.page('/metrics')).toContain('derp_thread_restarts_total{thread="stun"} 3\n')
  await alice.ping()
})

it('stays silent when it comes back, while the relay beside it can not serve', async () => {
  const workers = observeWorkers()
  await using relay = await LiveRelay.start({ stun: anywhere, admin: anywhere }, 8_000)
  const port = relay.addresses.stun?.port ?? 0
  await expect.poll(async () => await relay.page('/readyz'), patiently).toMatch(/expired at/)
  const state = async (): Promise<string> =>
    await askStun('127.0.0.1', port, 500).then(
      () => 'answers',
      () => 'silent',
    )
  // The control thread looks once a second.
  await expect.poll(state, patiently).toBe('silent')
  workers.at(-1)?.postMessage(null)
  await expect.poll(() => workers.length, patiently).toBe(3)
  await expect(askStun('127.0.0.1', port, 3_000)).rejects.toThrow('no STUN answer')
})

it('is silent no later than the relay is gone', async () => {
  const relay = await LiveRelay.start({ stun: anywhere }, DAY_MS)
  const port = relay.addresses.stun?.port ?? 0
  const alice = await relay.client()
  const lost = alice.next('closed')
  const stopped = relay[Symbol.asyncDispose]()
  await lost
  await expect(askStun('127.0.0.1', port, 300)).rejects.toThrow()
  await stopped
})
