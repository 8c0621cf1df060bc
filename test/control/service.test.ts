import { expect, it } from 'vitest'
import { ServiceList } from '#control/service.ts'

it('ends the last part first, and each, whatever becomes of others', async () => {
  const ended: string[] = []
  const stops = new ServiceList()
  stops.push(() => void ended.push('threads'))
  stops.push(async () => await Promise.reject(new Error('STUN thread does not end')))
  stops.push(() => {
    ended.push('mesh')
    throw new Error('NATS has gone')
  })
  stops.push(async () => {
    await new Promise(setImmediate)
    ended.push('admin')
  })
  await expect(stops.stop()).rejects.toThrow('not all parts ended: NATS has gone; STUN thread does not end')
  expect(ended).toEqual(['admin', 'mesh', 'threads'])
})

it('whoever stops it again waits for the same end', async () => {
  const stops = new ServiceList()
  let count = 0
  const gate = Promise.withResolvers<void>()
  stops.push(async () => {
    count++
    await gate.promise
  })
  const both = [stops.stop(), stops.stop()]
  let isOver = false
  void both[1]?.then(() => (isOver = true))
  await new Promise(setImmediate)
  expect(isOver).toBe(false)
  gate.resolve()
  await Promise.all(both)
  expect(count).toBe(1)
})
