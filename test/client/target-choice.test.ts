// Which of several servers is chosen: by what accepts, and by what has failed.

import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { TargetChoice } from '#client/target-choice.ts'
import type { TargetOptions } from '#client/target.ts'
import { freePort } from '../support/process.ts'

async function listener(): Promise<TargetOptions> {
  const server = createServer((socket) => socket.destroy())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port, tls: false }
}

test('one that accepts, whatever its place', async () => {
  const closed = { host: '127.0.0.1', port: await freePort(), tls: false } as const
  const open = await listener()
  expect(await new TargetChoice([closed, open]).next()).toBe(open)
})

test('no one accepts: the reason of each', async () => {
  const ports = [await freePort(), await freePort()]
  const choice = new TargetChoice(ports.map((port) => ({ host: '127.0.0.1', port, tls: false })))
  await expect(choice.next()).rejects.toThrow(
    new RegExp(`no server accepts a connection: .*127.0.0.1:${ports[0]}: connect ECONNREFUSED`),
  )
})

test('one that failed behind its port comes last for a while, and is all there is if the others do not accept', async () => {
  let nowMs = 0
  const [first, second] = [await listener(), await listener()]
  const choice = new TargetChoice([first, second], () => nowMs)
  const chosen = await choice.next()
  const other = chosen === first ? second : first
  choice.failed()
  expect(await choice.next()).toBe(other)
  choice.failed()
  nowMs = 1
  expect([first, second]).toContain(await choice.next())
  choice.worked()
  const only = new TargetChoice([first, { ...second, port: await freePort() }], () => nowMs)
  expect(await only.next()).toBe(first)
  only.failed()
  expect(await only.next()).toBe(first)
})

test('behind a proxy: in the order of the list, and the next one after a failure', async () => {
  const proxy = { url: 'http://127.0.0.1:1' }
  const targets = ['a.test', 'b.test', 'c.test'].map((host) => ({ host, proxy }))
  let nowMs = 0
  const choice = new TargetChoice(targets, () => nowMs++)
  const chosen: unknown[] = []
  for (let i = 0; i < 4; i++) {
    chosen.push((await choice.next()).host)
    choice.failed()
  }
  expect(chosen).toEqual(['a.test', 'b.test', 'c.test', 'a.test'])
})

test('an invalid one is named before anything is dialled', () => {
  expect(() => new TargetChoice([])).toThrow('targets: expected at least one')
  expect(() => new TargetChoice([{ url: 'ftp://x' }])).toThrow('url: expected')
})
