// A relay that runs out of descriptors: the program in a process with a low limit, and more clients than fit.

import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { askStun } from '#client/stun-request.ts'
import { DescriptorWatch } from '#ops/descriptor-watch.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { startProcess, type RunningProcess } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'

const LIMIT = 100

let folder: string
let relay: RunningProcess
const remotes: Socket[] = []

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'descriptors-'))
  const flags = `-quick-start -state-dir ${folder} -a 127.0.0.1:0 -http-port 0 -stun-port 0 -admin 127.0.0.1:0 -threads 2`
  const script = `ulimit -n ${LIMIT}; exec "$0" serve ${flags} -log-format json`
  relay = await startProcess('sh', ['-c', script, PROGRAM], { readyWhen: /"relay_started".*\n/ })
})

afterEach(async () => {
  for (const remote of remotes.splice(0)) remote.destroy()
  await relay.stop()
  rmSync(folder, { recursive: true, force: true })
})

function portOf(name: 'derp' | 'stun' | 'admin'): number {
  const started = relay.output.split('\n').find((line) => line.includes('"relay_started"')) ?? ''
  return Number(/:(\d+)\D*$/.exec(String((JSON.parse(started) as Record<string, unknown>)[name]))?.[1])
}

async function page(path: string): Promise<{ status: number; text: string }> {
  return await new Promise((resolve, reject) => {
    const question = request({ host: '127.0.0.1', port: portOf('admin'), path, agent: false }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (part: string) => (text += part))
      answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }))
    })
    question.on('error', reject).end()
  })
}

/** How often an event is in the log. */
function events(name: string): number {
  return relay.output.split(`"event":"${name}"`).length - 1
}

async function hasStun(): Promise<boolean> {
  return await askStun('127.0.0.1', portOf('stun'), 500).then(
    () => true,
    () => false,
  )
}

async function login(): Promise<void> {
  const tls = { isInsecure: true } as const
  const client = await DerpClient.connect({ host: '127.0.0.1', port: portOf('derp'), tls, key: newKeyPair() })
  await client.close()
}

it('refuses clients beyond its descriptors, logs it, is not ready, serves its admin port, and recovers', async () => {
  expect(relay.output).toMatch(/"event":"descriptor_limit_low","limit":100,"clients":\d+/)
  await login()
  const port = portOf('derp')
  // Each client dials again when it is refused, as fast as it can.
  let isOver = false
  const dial = (): void => {
    if (isOver) return
    const remote = connect(port, '127.0.0.1').on('error', () => undefined)
    remotes.push(remote)
    remote.on('close', () => {
      remotes.splice(remotes.indexOf(remote), 1)
      setImmediate(dial)
    })
    remote.resume()
  }
  for (let i = 0; i < 120; i++) dial()
  await expect.poll(() => events('descriptors_exhausted'), { timeout: 10_000 }).toBe(1)
  const refused = /derp_connections_out_of_descriptors_total (\d+)/.exec((await page('/metrics')).text)?.[1]
  expect(Number(refused)).toBeGreaterThan(0)
  expect((await page('/livez')).status).toBe(200)
  const readiness = await page('/readyz')
  expect(readiness.status).toBe(503)
  expect(readiness.text).toMatch(
    /FAIL descriptors: descriptors left for clients: none; limit of open files: 100/,
  )
  await expect.poll(hasStun, { timeout: 5_000 }).toBe(false)

  isOver = true
  for (const remote of remotes.splice(0)) remote.destroy()
  await expect.poll(() => events('descriptors_available'), { timeout: 15_000 }).toBe(1)
  await expect.poll(async () => (await page('/readyz')).status, { timeout: 5_000 }).toBe(200)
  expect(await hasStun()).toBe(true)
  await login()
  expect(events('descriptors_exhausted')).toBe(1)
})

describe('the descriptor watch', () => {
  it('reports an episode once at its beginning and once when it has been over for 5 s', () => {
    const clock = new FakeClock()
    const reports: string[] = []
    let [lowestFree, refused] = [10, 0]
    const watch = new DescriptorWatch({
      max: 100,
      clientsEnd: 80,
      lowestFree: () => lowestFree,
      refused: () => refused,
      now: clock.now,
      onExhausted: (limit) => reports.push(`exhausted ${limit}`),
      onAvailable: (count) => reports.push(`available ${count}`),
    })
    const looks = (seconds: number): void => {
      for (let i = 0; i < seconds; i++) {
        clock.advance(1_000)
        watch.look()
      }
    }
    looks(2)
    expect(watch.check()).toEqual({
      isOk: true,
      detail: 'descriptors left for clients: 70; limit of open files: 100',
    })
    // A client was refused between two looks; there is room again.
    refused = 3
    looks(1)
    expect(watch.check().isOk).toBe(false)
    lowestFree = Infinity
    looks(3)
    lowestFree = 79
    looks(4)
    refused = 7
    looks(5)
    expect(reports).toEqual(['exhausted 100'])
    looks(1)
    expect(reports).toEqual(['exhausted 100', 'available 7'])
    expect(watch.check()).toEqual({
      isOk: true,
      detail: 'descriptors left for clients: 1; limit of open files: 100',
    })
  })
})
