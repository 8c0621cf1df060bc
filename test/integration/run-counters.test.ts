// Counters over an upgrade in place: what the newer run shows in the end is what clients and a sibling have counted
// themselves, on both runs together, and no counter has fallen. Real processes.

import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { DerpClient, newKeyPair, SharedResources } from '#client/derp-client.ts'
import { MovingClient, MovingClients } from '../support/moving-clients.ts'
import { RunHost } from '../support/run-host.ts'
import { waitUntil } from '../support/process.ts'

const TEST_TIMEOUT_MS = 150_000
const CLIENTS = 20
const RATE = 20
const TO_SIBLING_EVERY_MS = 20
/** Packets for a client that is away are held for half a second; on a busy machine clients take longer. */
const HELD_MS = 400

/** A metrics page: the counters that are to go on, by series. */
async function counters({ address, ports }: RunHost): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`http://${address}:${ports.admin}/metrics`)).text()
  const types = new Map(
    [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]),
  )
  const series = [...text.matchAll(/^([a-z_]+)(\{\S*\})? (\S+)$/gm)].filter(([, name = '', labels = '']) => {
    const family = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '')
    const isCounted = types.get(family) === 'counter' || types.get(family) === 'histogram'
    return isCounted && !/^(process|nodejs)_/.test(name) && !/[{,]thread="/.test(labels)
  })
  return new Map(series.map(([, name = '', labels = '', value = '']) => [name + labels, Number(value)]))
}

function sumOf(page: ReadonlyMap<string, number>, name: string): number {
  const all = [...page].filter(([series]) => series === name || series.startsWith(`${name}{`))
  return all.reduce((sum, [, value]) => sum + value, 0)
}

test(
  'the sums of both runs are what clients have counted, and no counter falls',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    await using host = await RunHost.make()
    await using other = await RunHost.make()
    const key = randomBytes(32).toString('hex')
    for (const { folder } of [host, other]) await writeFile(join(folder, 'psk'), key, { mode: 0o600 })
    await other.start('-mesh-psk-file', join(other.folder, 'psk'))
    const mesh = [
      ['-mesh-psk-file', join(host.folder, 'psk')],
      ['-mesh-with', `localhost:${other.ports.derp}`],
      ['-mesh-ca-file', join(other.folder, 'authority.crt')],
    ].flat()
    const older = await host.start(...mesh)

    const target = ({
      address,
      ports,
    }: RunHost): { host: string; dialAddress: string; port: number; tls: { isInsecure: true } } => ({
      host: 'localhost',
      dialAddress: address,
      port: ports.derp,
      tls: { isInsecure: true },
    })
    let atSibling = 0
    const far = new DerpClient({ ...target(other), key: newKeyPair() }, { packet: () => void atSibling++ })
    await far.connect()
    const options = { count: CLIENTS, rate: RATE, packetBytes: 100, relays: [target(host)], firstOf: () => 0 }
    await using clients = await MovingClients.connect(options)
    const toFar = new MovingClient(0, options, new SharedResources())
    await toFar.connect()
    const body = randomBytes(100)
    await waitUntil('packets reach the sibling', () => {
      toFar.send(far.publicKey, 0, body)
      return atSibling > 0
    })
    clients.start()
    const sending = setInterval(() => toFar.send(far.publicKey, 0, body), TO_SIBLING_EVERY_MS)
    await sleep(2_000)

    const before = await counters(host)
    await host.start(...mesh)
    const during = await counters(host)
    expect(await older.exited).toEqual({ code: 0, signal: null })
    clearInterval(sending)
    clients.stop()
    await sleep(2_500)
    const after = await counters(host)
    const { sent, received, disconnects, awayMsAt } = clients.losses()
    const [total, reconnects] = [sent + toFar.sent, disconnects + toFar.disconnects]
    process.stderr.write(
      `counters: ${total} sent, ${received} + ${atSibling} received; run 1 alone ${sumOf(before, 'derp_received_packets_total')}, ` +
        `both ${sumOf(after, 'derp_received_packets_total')}; ${reconnects} reconnects, away ${Math.round(awayMsAt(1))} ms at most\n`,
    )
    await far.close()
    await toFar.close()

    for (const page of [during, after]) {
      const fallen = [...before].filter(([series, value]) => (page.get(series) ?? 0) < value)
      expect(fallen).toEqual([])
    }
    const logins = CLIENTS + 1 + reconnects
    expect(reconnects).toBe(CLIENTS + 1)
    expect(sumOf(after, 'derp_logins_total')).toBe(logins)
    expect(sumOf(after, 'derp_login_seconds_count')).toBe(logins)
    expect(sumOf(after, 'derp_sessions_ended_total')).toBe(reconnects)
    const [packetsIn, out] = [
      sumOf(after, 'derp_received_packets_total'),
      sumOf(after, 'derp_sent_packets_total'),
    ]
    const forwarded = sumOf(after, 'derp_mesh_forwarded_packets_total')
    expect(packetsIn).toBe(out + forwarded + sumOf(after, 'derp_dropped_packets_total'))
    expect(sumOf(after, 'derp_sibling_packets_total')).toBe(forwarded)
    expect(forwarded).toBeGreaterThan(sumOf(before, 'derp_sibling_packets_total'))
    // What a client has written and its relay has not read when both end the connection is counted by the client alone.
    expect(packetsIn).toBeLessThanOrEqual(total)
    expect(forwarded).toBeGreaterThanOrEqual(atSibling)
    if (Math.max(awayMsAt(1), toFar.longestAwayMs) < HELD_MS) {
      expect(packetsIn).toBe(total)
      expect(out).toBe(received)
      expect(forwarded).toBe(atSibling)
    }
  },
)
