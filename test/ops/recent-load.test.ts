import { expect, it } from 'vitest'
import { LOOK_MS, RecentLoad } from '#ops/recent-load.ts'
import { Counter, Counters, type PlainCounter } from '#relay/counters.ts'
import { DropReason, PacketKind } from '#relay/drop-reason.ts'

function count(counters: Counters, numbers: Partial<Record<PlainCounter, number>>): void {
  for (const [name, value] of Object.entries(numbers)) counters.add(Counter[name as PlainCounter], value)
}

it('knows nothing at first', () => {
  const load = new RecentLoad([new Counters()])
  load.look(0)
  expect(load.read()).toMatchObject({
    clients: 0,
    bytesInPerSecond: 0,
    dropRatio: undefined,
    queueP99Ms: undefined,
    curve: [],
  })
})

it('has rates of ten seconds, and drops and waits of a minute', () => {
  const threads = [new Counters(), new Counters()] as const
  const load = new RecentLoad(threads)
  let ms = 0
  const pass = (looks: number, each: () => void): void => {
    for (let i = 0; i < looks; i++) {
      each()
      load.look((ms += LOOK_MS))
    }
  }
  load.look(ms)
  // Long ago: many drops and long waits.
  pass(10, () => {
    count(threads[0], { receivedData: 100 })
    for (let i = 0; i < 50; i++) threads[0].countDrop(DropReason.queueHead, PacketKind.data, 1)
    threads[0].observe('queueDelay', 1.5)
  })
  pass(40, () => {
    count(threads[0], { receivedData: 100, receivedBytesData: 10_000 })
    count(threads[1], { receivedDisco: 100, sentBytesData: 20_000, forwardedOutBytes: 2_000 })
    threads[1].countDrop(DropReason.queueAge, PacketKind.disco, 1)
    for (let i = 0; i < 10; i++) threads[1].countDrop(DropReason.unknownDestination, PacketKind.data, 1)
    for (let i = 0; i < 99; i++) threads[1].observe('queueDelay', 0.000_05)
    threads[1].observe('queueDelay', 0.009)
  })
  count(threads[0], { clientsCurrent: 12, clientsHome: 8, siblingsCurrent: 2 })
  const { clients, homeClients, bytesInPerSecond, bytesOutPerSecond, dropRatio, queueP99Ms, curve } =
    load.read()
  expect({ clients, homeClients, bytesInPerSecond, bytesOutPerSecond }).toEqual({
    clients: 10,
    homeClients: 8,
    bytesInPerSecond: 5_000,
    bytesOutPerSecond: 11_000,
  })
  expect(dropRatio).toBeCloseTo(1 / 200, 6)
  expect(queueP99Ms).toBeCloseTo(0.1, 6)
  expect(curve).toHaveLength(10)
  expect(curve.at(-1)).toEqual({ clients: 0, bytesPerSecond: 16_000 })
})
