// An upgrade in place of a relay that has a sibling: clients of the sibling and clients of both runs exchange packets
// throughout. Real processes; clients redial at once, as Tailscale's do.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { shortKey } from '#protocol/node-key.ts'
import { MovingClients, type MovingClientsOptions } from '../support/moving-clients.ts'
import { waitUntil } from '../support/process.ts'
import { RunHost, type Sibling } from '../support/run-host.ts'

const TEST_TIMEOUT_MS = 120_000
/** Half of them at the relay that is upgraded. */
const CLIENTS = 40
const RATE = 20
/** Packets for a client that is away are held for half a second. */
const HELD_MS = 400

function optionsFor({ ports }: RunHost, sibling: Sibling): MovingClientsOptions {
  const at = { host: 'localhost', dialAddress: '127.0.0.1', tls: { isInsecure: true } } as const
  return {
    count: CLIENTS,
    rate: RATE,
    packetBytes: 200,
    relays: [
      { ...at, port: ports.derp },
      { ...at, port: sibling.ports.derp },
    ],
    // Each client's partner is at the other relay.
    firstOf: (index) => (index < CLIENTS / 2 ? 0 : 1),
    staysAtRelay: true,
  }
}

async function isMeshed(one: Pick<RunHost, 'metric'>, port: number): Promise<boolean> {
  return (await one.metric(`derp_sibling_up{sibling="localhost:${port}"`)) === 1
}

/** Whether the log has a login with that key. */
function isLoginOf(key: string, log: string): boolean {
  return log.split('\n').some((line) => line.includes('"event":"session_started"') && line.includes(key))
}

function sumOf(drops: readonly string[]): number {
  return drops.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}

test(
  "a sibling's clients and those of both runs exchange packets; the sibling's links belong to the newer run",
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    await using host = await RunHost.make({ isMeshed: true })
    const { sibling } = host
    if (sibling === undefined) throw new Error('not meshed')
    const older = await host.start()
    const other = await host.startSibling()
    await waitUntil('both are meshed', async () => {
      return (await isMeshed(host, sibling.ports.derp)) && (await isMeshed(sibling, host.ports.derp))
    })
    await using clients = await MovingClients.connect(optionsFor(host, sibling))
    clients.start()
    await sleep(1_000)
    const newer = await host.start('-log-level', 'debug')
    const key = shortKey(sibling.key.publicKey)
    await waitUntil('the sibling has dialled the newer run', () => isLoginOf(key, newer.output))
    expect(older.output).not.toContain('"event":"relay_drained"')
    expect(await older.exited).toEqual({ code: 0, signal: null })
    await sleep(1_500)
    clients.stop()
    await sleep(1_000)
    const { sent, lost, unsent, repeated, disconnects, awayMsAt } = clients.losses()
    const drops = [...(await host.drops()), ...(await sibling.drops())]
    const from = (first: number): string => {
      const half = clients.clients.slice(first, first + CLIENTS / 2)
      const received = clients.clients.slice(CLIENTS / 2 - first, CLIENTS - first)
      const sum = (values: readonly number[]): number => values.reduce((total, one) => total + one, 0)
      return `${sum(half.map((one) => one.sent))} sent, ${sum(received.map((one) => one.received))} received`
    }
    process.stderr.write(
      `upgrade with a sibling: ${sent} sent, ${lost} lost, ${unsent} not sent; to the sibling: ${from(0)}; from it: ${from(CLIENTS / 2)}; ` +
        `away ${Math.round(awayMsAt(1))} ms at most; ${drops.join(', ')}\n`,
    )
    expect(repeated).toBe(0)
    expect(disconnects).toBe(CLIENTS / 2)
    if (awayMsAt(1) < HELD_MS) expect(lost).toBe(0)
    expect(lost).toBe(sumOf(drops))
    expect(older.output + newer.output + other.output).not.toMatch(/sibling_key_conflict|run_lost/)
  },
)
