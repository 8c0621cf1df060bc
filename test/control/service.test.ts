import { expect, it } from 'vitest'
import { Services, type Service } from '#control/service.ts'

const nothing = (): void => undefined

/** Fails the test that uses it. */
function notExpected(error: unknown): never {
  throw error
}

function service(parts: Partial<Service>): Service {
  return { start: nothing, stop: nothing, ...parts }
}

/** A service that notes what it is asked to do. */
function noting(notes: string[], name: string): Service {
  return {
    start: () => void notes.push(`${name} starts`),
    stop: () => void notes.push(`${name} stops`),
  }
}

it('starts services in order and stops them in reverse', async () => {
  const notes: string[] = []
  const services = new Services([noting(notes, 'threads'), noting(notes, 'STUN')])
  await services.start(notExpected)
  await services.stop()
  expect(notes).toEqual(['threads starts', 'STUN starts', 'STUN stops', 'threads stops'])
})

it('stops the last service first, and every one even if others fail', async () => {
  const ended: string[] = []
  const services = new Services([
    service({ stop: () => void ended.push('threads') }),
    service({ stop: async () => await Promise.reject(new Error('STUN thread does not end')) }),
    service({
      stop: () => {
        ended.push('mesh')
        throw new Error('NATS has gone')
      },
    }),
    service({
      stop: async () => {
        await new Promise(setImmediate)
        ended.push('admin')
      },
    }),
  ])
  await services.start(notExpected)
  await expect(services.stop()).rejects.toThrow(
    'not all parts ended: NATS has gone; STUN thread does not end',
  )
  expect(ended).toEqual(['admin', 'mesh', 'threads'])
})

it('a second stop waits for the same end', async () => {
  let count = 0
  const gate = Promise.withResolvers<void>()
  const services = new Services([
    service({
      stop: async () => {
        count++
        await gate.promise
      },
    }),
  ])
  await services.start(notExpected)
  const both = [services.stop(), services.stop()]
  let isOver = false
  void both[1]?.then(() => (isOver = true))
  await new Promise(setImmediate)
  expect(isOver).toBe(false)
  gate.resolve()
  await Promise.all(both)
  expect(count).toBe(1)
})

it('a start that fails stops what was started, the failed service included, and nothing else', async () => {
  const notes: string[] = []
  const services = new Services([
    noting(notes, 'threads'),
    { ...noting(notes, 'STUN'), start: async () => await Promise.reject(new Error('port is in use')) },
    noting(notes, 'admin'),
  ])
  await expect(services.start(notExpected)).rejects.toThrow('port is in use')
  expect(notes).toEqual(['threads starts', 'STUN stops', 'threads stops'])
})

it('a start that fails rejects with its own error, and reports that of the stop', async () => {
  const services = new Services([
    service({
      start: () => {
        throw new Error('port is in use')
      },
      stop: () => {
        throw new Error('thread does not end')
      },
    }),
  ])
  const reported: unknown[] = []
  await expect(services.start((error) => reported.push(error))).rejects.toThrow('port is in use')
  expect(reported).toEqual([new Error('not all parts ended: thread does not end')])
})

it('drains all services together, even if one fails, and stops them afterwards', async () => {
  const notes: string[] = []
  const drained = Promise.withResolvers<void>()
  const services = new Services([
    { ...noting(notes, 'listener'), drain: async () => await drained.promise },
    noting(notes, 'timer'),
    {
      ...noting(notes, 'STUN'),
      drain: async () => {
        notes.push('STUN drains')
        await Promise.reject(new Error('STUN is gone'))
      },
    },
  ])
  await services.start(notExpected)
  notes.length = 0
  const errors = services.drain()
  await new Promise(setImmediate)
  expect(notes).toEqual(['STUN drains'])
  drained.resolve()
  expect(await errors).toEqual([new Error('STUN is gone')])
  await services.stop()
  expect(notes).toEqual(['STUN drains', 'STUN stops', 'timer stops', 'listener stops'])
})

it('stops without a drain, also in the middle of one', async () => {
  const notes: string[] = []
  const services = new Services([
    { ...noting(notes, 'listener'), drain: async () => await new Promise(() => undefined) },
  ])
  await services.start(notExpected)
  void services.drain()
  await services.stop()
  expect(notes).toEqual(['listener starts', 'listener stops'])
})

it('stops one service after all others', async () => {
  const notes: string[] = []
  const admin = noting(notes, 'admin')
  const services = new Services([noting(notes, 'threads'), admin, noting(notes, 'timer')], admin)
  await services.start(notExpected)
  notes.length = 0
  await services.stop()
  expect(notes).toEqual(['timer stops', 'threads stops', 'admin stops'])
})
