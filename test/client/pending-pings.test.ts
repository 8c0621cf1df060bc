// Pending pings with a fake clock.

import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { PendingPings } from '#client/pending-pings.ts'

beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] }))
afterEach(() => void vi.useRealTimers())

test('each pong settles its own ping once, and no timer is left', async () => {
  const pings = new PendingPings()
  const sent: Uint8Array[] = []
  const write = (bytes: Uint8Array): void => void sent.push(bytes)
  const [one, two] = [pings.send(3_000, write), pings.send(3_000, write)]
  const [bytesOne = Buffer.alloc(0), bytesTwo = Buffer.alloc(0)] = sent
  vi.advanceTimersByTime(7)
  expect(pings.settle(Buffer.concat([bytesTwo, Buffer.from('more')]))).toBe(7)
  vi.advanceTimersByTime(5)
  expect(pings.settle(bytesOne)).toBe(12)
  expect(pings.settle(bytesOne)).toBeUndefined()
  expect(await Promise.all([one, two])).toEqual([12, 7])
  expect(vi.getTimerCount()).toBe(0)
})

test('a ping without a pong rejects at its limit, and a late pong is ignored', async () => {
  const pings = new PendingPings()
  let sent: Uint8Array = new Uint8Array(0)
  const ping = pings.send(3_000, (bytes) => (sent = bytes))
  const failed = expect(ping).rejects.toThrow('no pong within 3000 ms')
  vi.advanceTimersByTime(3_000)
  await failed
  expect(pings.settle(sent)).toBeUndefined()
})
