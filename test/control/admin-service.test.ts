// The admin port of a live relay.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { request, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { text } from 'node:stream/consumers'
import { expect, it } from 'vitest'
import { relayStateFrame } from '#protocol/frames.ts'
import { LiveRelay, MESH_KEY } from '../support/live-relay.ts'
import { waitUntil } from '../support/process.ts'
import { RawSibling } from '../support/raw-sibling.ts'
import { messageOf } from '../support/relay-states.ts'

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

it('shows browsers the status page, and pages of other origins nothing', async () => {
  await using relay = await LiveRelay.start({ admin: { host: '127.0.0.1', port: 0 } })
  const ask = async (path: string, headers: OutgoingHttpHeaders): Promise<[number | undefined, string]> => {
    const sent = request({
      host: '127.0.0.1',
      port: relay.addresses.admin?.port,
      path,
      headers,
      agent: false,
    })
    sent.end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    return [response.statusCode, (await text(response)).slice(0, 15)]
  }
  const accept = 'text/html,application/xhtml+xml'
  expect(await ask('/', { accept })).toEqual([200, '<!doctype html>'])
  expect(await ask('/', { accept, host: 'localhost:1' })).toEqual([200, '<!doctype html>'])
  expect(await ask('/', {})).toEqual([200, expect.stringMatching(/^derpfleet /)])
  expect(await ask('/', { accept, host: 'attacker.example' })).toEqual([421, expect.any(String)])
  expect(await ask('/status/events', { host: 'attacker.example' })).toEqual([421, expect.any(String)])
  const script = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }
  for (const path of ['/', '/status', '/status.json', '/status/events', '/metrics']) {
    expect(await ask(path, script)).toEqual([403, expect.any(String)])
  }
})

it('does not complain for ever of a relay that nobody lists and that has gone', async () => {
  await using relay = await LiveRelay.start({ admin: { host: '127.0.0.1', port: 0 }, meshKeys: [MESH_KEY] })
  await using sibling = await RawSibling.open(relay.port, MESH_KEY)
  const status = async (): Promise<{ relays: { name: string }[]; concerns: string[] }> =>
    JSON.parse(await relay.page('/status.json'))
  const tell = async (sequence: number, state: 'ready' | 'ended'): Promise<void> =>
    await sibling.send(
      relayStateFrame(
        messageOf('x', { key: sibling.key, nodes: [], sequence, health: { state, failing: [] } }),
      ),
    )
  await tell(1, 'ready')
  await waitUntil('it is there', async () => (await status()).relays.length === 2)
  await tell(2, 'ended')
  await waitUntil('it is gone', async () => (await status()).relays.length === 1)
  expect((await status()).concerns).not.toContain('down: x.lab')
})

it('shows everybody a coarse page on the DERP port, where the operator wants it, and else none', async () => {
  const statusOf = async (isStatusPublic: boolean): Promise<[string, string | null]> => {
    await using relay = await LiveRelay.start({ isStatusPublic, isTls: false })
    for (;;) {
      const response = await fetch(`http://127.0.0.1:${relay.addresses.derp.port}/status`)
      const page = await response.text()
      // As soon as it is ready.
      if (!page.includes('not ready')) return [page, response.headers.get('content-security-policy')]
    }
  }
  const [shown, policy] = await statusOf(true)
  expect(shown).toContain('<h1 class="ok">All is well</h1>')
  const [, style = ''] = /<style>([^]*)<\/style>/.exec(shown) ?? []
  expect(policy).toContain(createHash('sha256').update(style).digest('base64'))
  expect(shown).not.toMatch(/localhost|<script/)
  expect((await statusOf(false))[0]).toContain('<h1>DERP</h1>')
})
