// The admin port of a live relay.

import { expect, it } from 'vitest'
import { LiveRelay } from '../support/live-relay.ts'

it('counts all threads as one relay', async () => {
  await using relay = await LiveRelay.start({ admin: { host: '127.0.0.1', port: 0 }, threadCount: 2 })
  const [alice, bob] = [await relay.client({ isPreferred: true }), await relay.client({ way: 'websocket' })]
  const arrival = bob.next('packet')
  alice.send(bob.publicKey, new Uint8Array(100))
  await arrival
  const metrics = await relay.page('/metrics')
  expect(metrics).toContain('derp_received_packets_total{kind="data"} 1\n')
  expect(metrics).toContain('derp_sent_bytes_total{kind="data"} 100\n')
  expect(metrics).toContain('derp_clients_current{kind="home"} 1\n')
  expect(metrics).toMatch(/^derp_relay_info\{hostname="localhost",region="",node="",version="[\d.]+"\} 1$/m)
  const varz = await relay.page('/debug/varz')
  expect(varz).toContain('derp_packets_sent 1\n')
  expect(varz).toContain('derp_clients_local 2\n')
})
