import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { expect, it, onTestFinished } from 'vitest'
import { askStun } from '#client/stun-request.ts'
import { Readiness, type ReadinessParts } from '#control/readiness.ts'
import { Log } from '#ops/log.ts'
import { Counters } from '#relay/counters.ts'
import { LiveRelay } from '../support/live-relay.ts'

const anyPort = { host: '127.0.0.1', port: 0 }

async function page(relay: LiveRelay, path: string): Promise<[number, string]> {
  const response = await fetch(`http://127.0.0.1:${relay.addresses.admin?.port}${path}`)
  return [response.status, await response.text()]
}

it('a relay that serves is ready, and every check passes', async () => {
  await using relay = await LiveRelay.start({ stun: anyPort, admin: anyPort, threadCount: 2 })
  await expect.poll(async () => (await page(relay, '/readyz'))[0], { timeout: 20_000 }).toBe(200)
  const [, text] = await page(relay, '/readyz?verbose')
  expect(text).toMatch(/^ready\nok {3}relay_threads: .*\n(?:ok {3}.*\n)*ok {3}stun: /)
  for (const check of ['relay_threads', 'certificate', 'mesh', 'stun'])
    expect(text).toContain(`\nok   ${check}: `)
  expect(await page(relay, '/livez')).toEqual([200, 'live\n'])
})

it('an expired certificate makes the relay not ready and silences STUN', async () => {
  await using relay = await LiveRelay.start({ stun: anyPort, admin: anyPort }, 10_000)
  const port = relay.addresses.stun?.port ?? 0
  await askStun('127.0.0.1', port, 1_000)
  await expect.poll(async () => (await page(relay, '/readyz'))[1], { timeout: 20_000 }).toMatch(/expired at/)
  await expect
    .poll(async () => await askStun('127.0.0.1', port, 300).catch(() => 'silent'), { timeout: 5_000 })
    .toBe('silent')
  expect((await page(relay, '/livez'))[0]).toBe(200)
})

it('a lost STUN answer does not silence STUN, and a relay that stays not ready logs that once', async () => {
  // A socket that never answers; every other check passes.
  const mute = createSocket('udp4').bind(0, '127.0.0.1')
  await once(mute, 'listening')
  onTestFinished(() => void mute.close())
  const told: boolean[] = []
  const passing = { check: () => ({ isOk: true, detail: '' }) }
  let log = ''
  const readiness = new Readiness({
    log: new Log('info', { write: (line) => (log += line) }),
    threads: { counters: [new Counters()], present: [true], serving: [true] },
    links: { name: 'mesh', ...passing },
    directory: { name: 'directory', ...passing },
    drain: { name: 'drain', ...passing },
    stun: {
      endpoint: { host: '127.0.0.1', port: mute.address().port },
      answer: (isAnswering: boolean) => told.push(isAnswering),
      look: () => undefined,
    },
    admission: undefined,
    certificates: undefined,
  } as unknown as ReadinessParts)
  await readiness.start()
  for (let looks = 0; looks < 3; looks++) readiness.threadsChanged()
  readiness.stop()
  expect(log).toMatch(/relay_not_ready.*stun: no STUN answer/)
  expect(log.match(/relay_not_ready/g)).toHaveLength(1)
  expect(told).toEqual([true, true, true, true])
})
