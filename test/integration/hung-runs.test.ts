// Runs of one relay that stop in the middle of an upgrade and do not end: with SIGSTOP, after which a process holds its
// sockets and says nothing.

import { expect, test } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { waitUntil, type RunningProcess } from '../support/process.ts'
import { RunHost } from '../support/run-host.ts'

const TEST_TIMEOUT_MS = 120_000

async function joins(run: RunningProcess): Promise<void> {
  await waitUntil('the run joins', () => run.output.includes('"event":"run_joined"'))
}

test.concurrent(
  'the older run hangs: the newer one says so, and later upgrades work',
  {
    timeout: TEST_TIMEOUT_MS,
  },
  async () => {
    await using host = await RunHost.make()
    const older = await host.start()
    older.signal('SIGSTOP')
    const newer = host.launch()
    expect(await newer.exited).toEqual({ code: 1, signal: null })
    expect(newer.output).toContain('does not answer within 10 s; end that process first')
    older.signal('SIGCONT')
    await host.start()
    expect(await older.exited).toEqual({ code: 0, signal: null })
    expect(await host.metric('derp_run')).toBe(2)
  },
)

test.concurrent(
  'a newer run hangs before it takes over: others are told, and after its end one takes over',
  {
    timeout: TEST_TIMEOUT_MS,
  },
  async () => {
    await using host = await RunHost.make()
    const older = await host.start()
    const newer = host.launch()
    await joins(newer)
    newer.signal('SIGSTOP')
    const other = host.launch()
    expect(await other.exited).toEqual({ code: 1, signal: null })
    expect(other.output).toContain(`run 2 is about to take over (process ${newer.pid})`)
    expect(await host.metric('derp_run')).toBe(1)
    newer.signal('SIGKILL')
    await waitUntil('the older run knows', () => older.output.includes('"event":"run_lost"'))
    await host.start()
    expect(await older.exited).toEqual({ code: 0, signal: null })
  },
)

test.concurrent(
  'a newer run hangs after it has taken over: the older one drains and ends',
  {
    timeout: TEST_TIMEOUT_MS,
  },
  async () => {
    await using host = await RunHost.make()
    const older = await host.start('-drain-settle', '3s')
    await using client = await DerpClient.connect({
      host: 'localhost',
      dialAddress: host.address,
      port: host.ports.derp,
      tls: { isInsecure: true },
      key: newKeyPair(),
    })
    const newer = await host.start()
    newer.signal('SIGSTOP')
    expect(older.exit).toBeUndefined()
    expect(client.isConnected).toBe(true)
    expect(await older.exited).toEqual({ code: 0, signal: null })
  },
)
