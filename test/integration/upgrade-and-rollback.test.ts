// An upgrade to the next version and back to this one, under traffic. The next version is this one with other constants: it
// knows one more format of the messages between runs, writes a field more into the state folder, and says more to other runs.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { MovingClients } from '../support/moving-clients.ts'
import { Newcomers } from '../support/newcomers.ts'
import { makeVersion, type Change } from '../support/other-version.ts'
import { RunHost } from '../support/run-host.ts'

const TEST_TIMEOUT_MS = 150_000
const NEXT = '99.1.0'
const CLIENTS = 20
const RATE = 20
/** Packets for a client that is away are held for half a second. */
const HELD_MS = 400

const MESSAGES = 'src/control/run-messages.ts'
const knownFormats = (formats: string): Change => ({
  file: MESSAGES,
  from: 'RUN_FORMATS: readonly number[] = [1]',
  to: `RUN_FORMATS: readonly number[] = [${formats}]`,
})
const STATE: Change = {
  file: 'src/control/state-folder.ts',
  from: '{ format: OWNER_FORMAT, key }',
  to: '{ format: OWNER_FORMAT, key, since: { version: 99 } }',
}
/** A line that this version does not know, before each that it knows, and fields that it does not know in those. */
const TALKATIVE: Change = {
  file: 'src/control/run-channel.ts',
  from: 'this.#socket.write(`${JSON.stringify(message)}\\n`)',
  to: 'this.#socket.write(`{"kind":"new"}\\n${JSON.stringify({ ...message, next: [1] })}\\n`)',
}

test(
  'the next version takes over, and this one takes over from it, under traffic',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    await using host = await RunHost.make({ isApart: true })
    const current = host.program
    const changes = [knownFormats('1, 2'), STATE, TALKATIVE]
    host.program = await makeVersion(join(host.folder, 'next'), NEXT, changes)
    // The folder is the next version's own, with its record.
    const first = await host.start()
    expect(await readFile(join(host.folder, 'state/relay.json'), 'utf8')).toContain('since')
    await using clients = await MovingClients.connect({
      count: CLIENTS,
      rate: RATE,
      packetBytes: 200,
      relays: [
        { host: 'localhost', dialAddress: host.address, port: host.ports.derp, tls: { isInsecure: true } },
      ],
      firstOf: () => 0,
    })
    const newcomers = new Newcomers(host)
    clients.start()
    await sleep(500)
    host.program = current
    const back = await host.start()
    expect(await first.exited).toEqual({ code: 0, signal: null })
    expect(back.output).toContain(`"earlierVersion":"${NEXT}"`)
    host.program = join(host.folder, 'next/bin/derpfleet')
    const again = await host.start()
    expect(await back.exited).toEqual({ code: 0, signal: null })
    expect(again.output).toContain('"event":"run_took_over"')
    await newcomers.end()
    clients.stop()
    await sleep(1_000)
    const { sent, lost, repeated, disconnects, awayMsAt } = clients.losses()
    process.stderr.write(
      `rollback and upgrade: ${sent} sent, ${lost} lost; away ${Math.round(awayMsAt(1))} ms at most; ${JSON.stringify(newcomers.counts)}; ${(await host.drops()).join(', ')}\n`,
    )
    expect(newcomers.failures).toEqual([])
    expect([repeated, disconnects]).toEqual([0, 2 * CLIENTS])
    if (awayMsAt(1) < HELD_MS) expect(lost).toBe(0)
    expect(await host.metric('derp_run')).toBe(3)
    expect(first.output + back.output + again.output).not.toContain('run_lost')
  },
)

test(
  'a version that knows no common format is told so, and one that finds a later format in the folder refuses it',
  { timeout: TEST_TIMEOUT_MS },
  async () => {
    await using host = await RunHost.make()
    const current = host.program
    const format: Change = {
      file: 'src/control/state-folder.ts',
      from: 'OWNER_FORMAT = 1',
      to: 'OWNER_FORMAT = 2',
    }
    const next = await makeVersion(join(host.folder, 'next'), NEXT, [knownFormats('2, 3'), format])
    const serving = await host.start()
    host.program = next
    const refused = host.launch()
    expect(await refused.exited).toEqual({ code: 1, signal: null })
    expect(refused.output).toMatch(
      /refuses: run 1, version [\d.]+, knows formats 1 of runs' messages, and version 99\.1\.0 2, 3; stop it first/,
    )
    expect(await host.metric('derp_run')).toBe(1)
    serving.signal('SIGINT')
    await serving.exited
    // In a folder of its own the later version leaves its format.
    const own = join(host.folder, 'own')
    const later = await host.start('-state-dir', own)
    host.program = current
    const older = host.launch('-state-dir', own)
    expect(await older.exited).toEqual({ code: 1, signal: null })
    expect(older.output).toContain(
      `${own}: relay.json has format 2, expected 1: a later version has written it`,
    )
    expect(await host.metric('derp_run')).toBe(1)
    expect(later.exit).toBeUndefined()
    expect(JSON.parse(await readFile(join(own, 'relay.json'), 'utf8'))).toMatchObject({ format: 2 })
  },
)
