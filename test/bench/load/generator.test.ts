// The load generator's counts of packets, against a real relay and against one that corrupts, misdelivers, duplicates,
// reorders or drops packets. Speed is not tested here.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { generatorPath } from '../../../bench/load/build-generator.ts'
import { Generator } from '../../../bench/load/generator-process.ts'
import { loginFile, newClients, serverKeyAt } from '../../../bench/load/login-file.ts'
import { wrongFrames, type LoadOutcome } from '../../../bench/load/outcome.ts'
import { LiveRelay } from '../../support/live-relay.ts'
import { TamperingRelay, type Tampering } from './tampering-relay.ts'

/** A short window, no warm-up, and a rate that a busy machine keeps. */
const SHORT_LOAD = ['--warm', '0', '--secs', '0.5', '--rate', '2000', '--drain', '5']
const LOGINS = 12

const missing = await generatorPath().then(
  () => undefined,
  (error: unknown) => String(error),
)
if (missing !== undefined) process.stderr.write(`SKIPPING tests of the load generator: ${missing}\n`)

let folder: string
let logins: string
let relay: LiveRelay
let plainRelay: LiveRelay
let plainLogins: string

async function loginsFor(live: LiveRelay, name: string): Promise<string> {
  const isPlain = live.settings.certificate === undefined
  const key = await serverKeyAt({ host: '127.0.0.1', port: live.port, isPlain })
  const path = join(folder, name)
  await writeFile(path, loginFile(key, newClients(LOGINS)))
  return path
}

/** Runs the generator to its end. */
async function run(args: readonly string[]): Promise<Generator> {
  const generator = await Generator.start(args, '0')
  await generator.done()
  return generator
}

async function runLoad(port: number, ...args: string[]): Promise<LoadOutcome> {
  return (await run(['--addr', `127.0.0.1:${port}`, '--logins', logins, ...SHORT_LOAD, ...args])).next('load')
}

async function runTampered(forConnection: () => Tampering): Promise<LoadOutcome> {
  await using proxy = await TamperingRelay.start(plainRelay.port, forConnection)
  const args = ['--plain', '--logins', plainLogins, '--pairs', '2', ...SHORT_LOAD, '--drain', '1']
  return (await run(['--addr', `127.0.0.1:${proxy.port}`, ...args])).next('load')
}

beforeAll(async () => {
  if (missing !== undefined) return
  folder = await mkdtemp(join(tmpdir(), 'generator-test-'))
  relay = await LiveRelay.start({ stun: { host: '127.0.0.1', port: 0 } })
  plainRelay = await LiveRelay.start({ certificate: undefined })
  logins = await loginsFor(relay, 'logins')
  plainLogins = await loginsFor(plainRelay, 'plain-logins')
})

afterAll(async () => {
  if (missing !== undefined) return
  await relay[Symbol.asyncDispose]()
  await plainRelay[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

describe.skipIf(missing !== undefined)('against a real relay', () => {
  it.each([
    ['pairs', ['--pairs', '5']],
    ['a fan-in', ['--fan-in', '5']],
    ['a fan-out', ['--fan-out', '5']],
    ['frames that share a record', ['--pairs', '2', '--size', '128', '--batch', '16']],
    ['packets of all sizes', ['--pairs', '2', '--mix', '32:1,1420:1,65536:1', '--rate', '300']],
    ['a probe', ['--pairs', '1', '--size', '64', '--realtime']],
  ])('receives every packet of %s', async (_, args) => {
    const outcome = await runLoad(relay.port, ...args)
    expect(outcome.due).toBeGreaterThan(100)
    expect(outcome.sent).toBe(outcome.due)
    expect(outcome.received).toBe(outcome.due)
    expect(outcome.delays.total).toBe(outcome.due)
    expect(wrongFrames(outcome)).toBe(0)
    expect(outcome.closed).toBe(0)
  })

  it('sends as much as the sockets accept without a schedule', async () => {
    const outcome = await runLoad(relay.port, '--pairs', '2', '--rate', '0', '--drain', '20')
    expect(outcome.sent).toBeGreaterThan(1_000)
    expect(outcome.arrived).toBeGreaterThan(1_000)
    expect(wrongFrames(outcome)).toBe(0)
  })

  it('opens idle connections, reconnects them, and sends a burst on each', async () => {
    const address = ['--addr', `127.0.0.1:${relay.port}`, '--logins', logins]
    const phases = [
      '--hold',
      '10',
      '--phases',
      'fresh,reconnect,burst,quiet,leave',
      '--quiet',
      '0.1',
      '--settle',
      '0.1',
    ]
    const outcomes = (await run([...address, ...phases])).all('phase')
    expect(outcomes.map(({ name, open }) => `${name} ${open}`)).toEqual([
      'before 0',
      'fresh 10',
      'reconnect 10',
      'burst 10',
      'quiet 10',
      'leave 0',
    ])
    const last = outcomes.at(-1)
    expect(last?.created).toBe(10 * Math.ceil(61_440 / 1_420))
    expect(last?.received).toBe(last?.created)
    expect(last?.wrong).toBe(0)
  })

  it('gets a response to every STUN request', async () => {
    const port = relay.addresses.stun?.port ?? 0
    const args = ['--addr', `127.0.0.1:${port}`, '--stun', '--rate', '200', '--warm', '0', '--secs', '0.5']
    const outcome = await (await run(args)).next('stun')
    expect(outcome.sent).toBe(100)
    expect(outcome.received).toBe(100)
  })

  it('logs clients in and out', async () => {
    const args = ['--addr', `127.0.0.1:${relay.port}`, '--logins', logins, '--churn', '5', '--rate', '20']
    const outcome = await (await run([...args, '--warm', '0', '--secs', '1'])).next('churn')
    expect(outcome.failed).toBe(0)
    expect(outcome.logins).toBeGreaterThan(5)
  })

  it('says how long the same work takes, until its input ends', async () => {
    const generator = await Generator.start(['--speed', '--rate', '100'], '0')
    await sleep(300)
    generator.endInput()
    await generator.done()
    const { fastNs, medianNs, samples } = await generator.next('speed')
    // A busy machine may have time for few of thirty.
    expect(samples).toBeGreaterThanOrEqual(3)
    expect(fastNs).toBeGreaterThan(1_000)
    expect(medianNs).toBeGreaterThanOrEqual(fastNs)
  })

  it('fails if the login file is for another server', async () => {
    const args = ['--addr', `127.0.0.1:${relay.port}`, '--logins', plainLogins, '--pairs', '1', ...SHORT_LOAD]
    await expect(run(args)).rejects.toThrow("the server's key differs")
  })
})

describe.skipIf(missing !== undefined)('against a relay that tampers with packets', () => {
  it('counts no wrong frames if there are none', async () => {
    expect(wrongFrames(await runTampered(() => (frame) => [frame]))).toBe(0)
  })

  it('counts corrupted packets, whichever byte was changed', async () => {
    const outcome = await runTampered(() => (frame, n) => {
      if (n % 10 !== 0) return [frame]
      // A byte of the packet, at changing offsets; not of the header or the key.
      const at = 37 + ((n * 131) % (frame.length - 37))
      frame[at] = (frame[at] ?? 0) ^ 0x10
      return [frame]
    })
    expect(outcome.corrupted).toBeGreaterThanOrEqual(90)
    expect(outcome.received + outcome.corrupted).toBe(outcome.sent)
  })

  it('counts packets with the wrong sender', async () => {
    const outcome = await runTampered(() => (frame, n) => {
      if (n === 7) frame[5] = (frame[5] ?? 0) ^ 0xff
      return [frame]
    })
    expect(outcome.misdelivered).toBe(2)
    expect(outcome.received).toBe(outcome.sent - 2)
  })

  it('counts duplicates', async () => {
    const outcome = await runTampered(() => (frame, n) => (n === 20 ? [frame, frame] : [frame]))
    expect(outcome.duplicated).toBe(2)
    expect(outcome.received).toBe(outcome.sent)
  })

  it('counts reordered packets', async () => {
    const outcome = await runTampered(() => {
      const late: Buffer[] = []
      return (frame, n) => (n === 20 ? (late.push(frame), []) : [frame, ...late.splice(0)])
    })
    expect(outcome.reordered).toBe(2)
    expect(outcome.received).toBe(outcome.sent)
  })

  it('does not count lost packets as received', async () => {
    const outcome = await runTampered(() => (frame, n) => (n >= 20 && n < 25 ? [] : [frame]))
    expect(outcome.received).toBe(outcome.sent - 10)
    expect(wrongFrames(outcome)).toBe(0)
  })
})
