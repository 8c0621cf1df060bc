import { expect, it } from 'vitest'
import { askStun } from '#client/stun-request.ts'
import { LiveRelay } from './support/live-relay.ts'

const anywhere = { host: '127.0.0.1', port: 0 }

async function page(relay: LiveRelay, path: string): Promise<[number, string]> {
  const response = await fetch(`http://127.0.0.1:${relay.addresses.admin?.port}${path}`)
  return [response.status, await response.text()]
}

it('is ready when it serves, and every part says so', async () => {
  await using relay = await LiveRelay.start({ stun: anywhere, admin: anywhere, threadCount: 2 })
  await expect.poll(async () => (await page(relay, '/readyz'))[0], { timeout: 20_000 }).toBe(200)
  const [, text] = await page(relay, '/readyz?verbose')
  expect(text).toMatch(/^ready\nok {3}relay_threads: .*\nok {3}certificate: .*\nok {3}mesh: .*\nok {3}stun: /)
  expect(await page(relay, '/livez')).toEqual([200, 'live\n'])
})

it('counts what clients do as one relay, whichever thread they are on', async () => {
  await using relay = await LiveRelay.start({ admin: anywhere, threadCount: 2 })
  const [alice, bob] = [await relay.client({ isPreferred: true }), await relay.client({ way: 'websocket' })]
  const arrival = bob.next('packet')
  alice.send(bob.publicKey, new Uint8Array(100))
  await arrival
  const [, metrics] = await page(relay, '/metrics')
  expect(metrics).toContain('derp_received_packets_total{kind="data"} 1\n')
  expect(metrics).toContain('derp_sent_bytes_total{kind="data"} 100\n')
  expect(metrics).toContain('derp_clients_current{kind="home"} 1\n')
  expect(metrics).toMatch(/^derp_relay_info\{hostname="localhost",region="",node="",version="[\d.]+"\} 1$/m)
  const [, varz] = await page(relay, '/debug/varz')
  expect(varz).toContain('derp_packets_sent 1\n')
  expect(varz).toContain('derp_clients_local 2\n')
})

it('falls silent in STUN when its certificate has run out, and says why it is not ready', async () => {
  await using relay = await LiveRelay.start({ stun: anywhere, admin: anywhere }, 10_000)
  const port = relay.addresses.stun?.port ?? 0
  await askStun('127.0.0.1', port, 1_000)
  await expect.poll(async () => (await page(relay, '/readyz'))[1], { timeout: 20_000 }).toMatch(/expired at/)
  await expect
    .poll(async () => await askStun('127.0.0.1', port, 300).catch(() => 'silent'), { timeout: 5_000 })
    .toBe('silent')
  expect((await page(relay, '/livez'))[0]).toBe(200)
})

it('leaves nothing running when a port is taken, and names it', async () => {
  await using first = await LiveRelay.start({ admin: anywhere, stun: anywhere, threadCount: 2 })
  for (const [what, taken] of Object.entries({
    DERP: { derp: first.addresses.derp },
    STUN: { stun: first.addresses.stun },
    admin: { admin: first.addresses.admin },
  })) {
    const second = LiveRelay.start(taken)
    await expect(second, what).rejects.toThrow(
      new RegExp(`^${what}: 127\\.0\\.0\\.1:\\d+ is in use by another process`),
    )
  }
  await first.client()
})
