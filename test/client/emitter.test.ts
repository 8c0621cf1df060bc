// Typed events: order, leaving and coming during an event, promises of events.

import { expect, test } from 'vitest'
import { Emitter } from '#client/emitter.ts'

interface Events {
  said: string
  counted: number
}

test('listeners are called in order, as they were when the event began', () => {
  const events = new Emitter<Events>()
  const heard: string[] = []
  const off = events.on('said', (text) => {
    heard.push(`one ${text}`)
    off()
    events.on('said', (later) => heard.push(`three ${later}`))
  })
  events.on('said', (text) => heard.push(`two ${text}`))
  events.emit('said', 'a')
  events.emit('said', 'b')
  expect(heard).toEqual(['one a', 'two a', 'two b', 'three b'])
})

test('next takes one event, or the first that is wanted', async () => {
  const events = new Emitter<Events>()
  const any = events.next('counted')
  const large = events.next('counted', (count) => count > 5)
  for (const count of [1, 2, 9, 10]) events.emit('counted', count)
  expect(await Promise.all([any, large])).toEqual([1, 9])
})

test('no event comes after the end, and who waits is told', async () => {
  const events = new Emitter<Events>()
  const waiting = events.next('said')
  // Nobody awaits this one; its refusal must not end the process, which fails a run of the tests.
  void events.next('counted')
  events.finish(new Error('over'))
  events.finish(new Error('again'))
  await expect(waiting).rejects.toThrow('over')
  await expect(events.next('said')).rejects.toThrow('over')
})
