// What the service manager is told, and when: with a clock of its own. That it arrives is systemd.test.ts.

import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { SystemdNotifyService, type SystemdNotifyParts } from '#control/systemd-notify-service.ts'
import type { SystemdMessage } from '#control/systemd-notifier.ts'

let sent: SystemdMessage[] = []
let state = { isReady: false, areThreadsAlive: true, activity: 'serving 0 clients', speaks: true }

function service(watchdogMs?: number, isExpensive = false): SystemdNotifyService {
  const parts: SystemdNotifyParts = {
    notifier: {
      isExpensive,
      send: (message: SystemdMessage) => sent.push(message),
      flushed: async () => {},
    } as never,
    watchdogMs,
    health: () => ({
      isReady: state.isReady,
      checks: [{ name: 'mesh', isOk: state.isReady, detail: 'derp2 is not up' }],
    }),
    areThreadsAlive: () => state.areThreadsAlive,
    activity: () => state.activity,
    ending: () => 'stopping, 3 clients left',
    speaks: () => state.speaks,
    now: () => performance.now(),
  }
  return new SystemdNotifyService(parts)
}

/** What was sent since the last call, without the signs of life. */
function taken(): SystemdMessage[] {
  return sent.splice(0).filter((message) => !('WATCHDOG' in message))
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  sent = []
  state = { isReady: false, areThreadsAlive: true, activity: 'serving 0 clients', speaks: true }
})
afterEach(() => void vi.useRealTimers())

it('READY once, when the relay is ready', async () => {
  const notify = service()
  notify.start()
  vi.advanceTimersByTime(5_000)
  expect(taken()).toEqual([{ STATUS: 'starting' }])
  state.isReady = true
  vi.advanceTimersByTime(60_000)
  expect(taken()).toEqual([{ READY: 1, STATUS: 'serving 0 clients' }])
  await notify.stop()
})

it('READY after the time limit, with what is missing', async () => {
  const notify = service()
  notify.start()
  vi.advanceTimersByTime(31_000)
  expect(taken()).toEqual([{ STATUS: 'starting' }, { READY: 1, STATUS: 'not ready: mesh: derp2 is not up' }])
  await notify.stop()
})

it.each([
  [false, 30],
  [true, 1],
])('a changing status not too often (a message costs a process: %s)', async (isExpensive, messages) => {
  state.isReady = true
  const notify = service(undefined, isExpensive)
  notify.start()
  vi.advanceTimersByTime(1_000)
  taken()
  for (let second = 0; second < 60; second++) {
    state.activity = `serving ${second} clients`
    vi.advanceTimersByTime(1_000)
  }
  expect(taken().length).toBe(messages)
  await notify.stop()
})

it('RELOADING with the time, then READY', async () => {
  state.isReady = true
  const notify = service()
  notify.start()
  vi.advanceTimersByTime(1_000)
  taken()
  const atUs = Math.floor(performance.now() * 1_000)
  notify.reloading()
  notify.reloaded()
  expect(taken()).toEqual([{ RELOADING: 1, MONOTONIC_USEC: atUs }, { READY: 1 }])
  await notify.stop()
})

it('signs of life, three per time limit, while the relay threads give them', async () => {
  state.isReady = true
  const notify = service(60_000)
  notify.start()
  const signs = (): number => sent.splice(0).filter((message) => 'WATCHDOG' in message).length
  vi.advanceTimersByTime(180_000)
  expect(signs()).toBe(9)
  // Threads that are replaced in time are no reason.
  state.areThreadsAlive = false
  vi.advanceTimersByTime(15_000)
  state.areThreadsAlive = true
  vi.advanceTimersByTime(45_000)
  expect(signs()).toBe(3)
  state.areThreadsAlive = false
  vi.advanceTimersByTime(600_000)
  expect(signs()).toBeLessThanOrEqual(1)
  await notify.stop()
})

it('STOPPING once, and more time as long as it lasts', async () => {
  state.isReady = true
  const notify = service(60_000)
  notify.start()
  vi.advanceTimersByTime(1_000)
  taken()
  await notify.drain()
  state.areThreadsAlive = false
  vi.advanceTimersByTime(20_000)
  await notify.stop()
  const messages = taken()
  expect(messages[0]).toEqual({ STOPPING: 1, STATUS: 'stopping, 3 clients left' })
  expect(messages.slice(1)).toEqual(Array.from({ length: 5 }, () => ({ EXTEND_TIMEOUT_USEC: 20_000_000 })))
  vi.advanceTimersByTime(60_000)
  expect(taken()).toEqual([])
})
