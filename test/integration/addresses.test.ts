// Limits of addresses over real processes and sockets, on two threads: the address that connects too often is refused, another one
// and those who are connected are not. Loopback, from which tests connect, is not exempt here.

import { connect } from 'node:net'
import { expect, it } from 'vitest'
import { ReloadingRelay } from '../support/reloading-relay.ts'

const RULES = 'address-connections: 0.1\naddress-exempt: 192.0.2.0/24\n'

/** Whether a page is answered to a connection from the address. */
async function isServed(port: number, localAddress: string): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port, localAddress })
  socket.on('error', () => undefined)
  socket.write('GET /generate_204 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  let isAnswered = false
  socket.on('data', () => (isAnswered = true))
  // A refused one is reset.
  await new Promise((closed) => socket.on('close', closed))
  return isAnswered
}

it('an address that connects too often is refused and then banned on all threads, until the limit is lifted', async () => {
  await using relay = await ReloadingRelay.start(RULES)
  const { port } = relay.address('derp')
  const alice = await relay.client()
  let served = 0
  // Each thread has twenty at once in any case, and as many refusals before its ban.
  for (let n = 0; n < 120; n++) if (await isServed(port, '127.0.0.2')) served++
  expect(served).toBeGreaterThanOrEqual(20)
  expect(served).toBeLessThanOrEqual(42)
  await expect.poll(() => relay.logged('address_banned').length).toBeGreaterThan(0)
  expect(relay.logged('address_banned')[0]).toMatchObject({ reason: 'connections', seconds: 600 })
  expect(await relay.metric('derp_address_refusals_total{reason="banned"}')).toBeGreaterThan(0)
  expect(await isServed(port, '127.0.0.2')).toBe(false)
  await expect.poll(async () => await relay.metric('derp_addresses_banned'), { timeout: 5_000 }).toBe(1)
  // Both threads have heard of it, and refuse nobody else.
  expect(await isServed(port, '127.0.0.3')).toBe(true)
  await alice.ping()
  expect((await relay.reload('address-exempt: none\n')).code).toBe(0)
  expect(await isServed(port, '127.0.0.2')).toBe(true)
  await expect.poll(async () => await relay.metric('derp_addresses_banned'), { timeout: 5_000 }).toBe(0)
}, 30_000)
