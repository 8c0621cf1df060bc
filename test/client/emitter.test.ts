// Typed events: order, adding and removing listeners during an event, promises of events.

import { expect, test } from 'vitest'
import { Emitter } from '#client/emitter.ts'

interface Events {
  text: string
  count: number
}

test('an event calls the listeners that it had when it began, in order', () => {
  const events = new Emitter<Events>()
  const calls: string[] = []
  const off = events.on('text', (text) => {
    calls.push(`one ${text}`)
    off()
    events.on('text', (later) => calls.push(`three ${later}`))
  })
  events.on('text', (text) => calls.push(`two ${text}`))
  events.emit('text', 'a')
  events.emit('text', 'b')
  expect(calls).toEqual(['one a', 'two a', 'two b', 'three b'])
})

test('next resolves to the next event, or to the first that is wanted', async () => {
  const events = new Emitter<Events>()
  const any = events.next('count')
  const large = events.next('count', (count) => count > 5)
  for (const count of [1, 2, 9, 10]) events.emit('count', count)
  expect(await Promise.all([any, large])).toEqual([1, 9])
})

test('after the end pending and new promises reject', async () => {
  const events = new Emitter<Events>()
  const waiting = events.next('text')
  // This promise is never awaited. Its rejection must not end the process, which would fail the test run.
  void events.next('count')
  events.finish(new Error('over'))
  events.finish(new Error('again'))
  await expect(waiting).rejects.toThrow('over')
  await expect(events.next('text')).rejects.toThrow('over')
})
