// Real Unix sockets: one side is a channel, the other one writes bytes.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { RunChannel } from '#control/run-channel.ts'
import { waitUntil } from '../support/process.ts'

interface Ends extends Disposable {
  readonly channel: RunChannel
  readonly other: Socket
  readonly messages: unknown[]
  readonly ends: string[]
}

async function ends(onMessage?: (channel: RunChannel) => void): Promise<Ends> {
  const folder = mkdtempSync(join(tmpdir(), 'run-channel-'))
  const server = createServer().listen(join(folder, 'a.sock'))
  await once(server, 'listening')
  const other = connect(join(folder, 'a.sock'))
  other.on('error', () => undefined)
  const [socket] = (await once(server, 'connection')) as [Socket]
  const [messages, whys]: [unknown[], string[]] = [[], []]
  const channel: RunChannel = new RunChannel(socket, {
    onMessage: (message) => {
      messages.push(message)
      onMessage?.(channel)
    },
    onClosed: (why) => void whys.push(why),
  })
  return {
    channel,
    other,
    messages,
    ends: whys,
    [Symbol.dispose]: () => {
      other.destroy()
      socket.destroy()
      server.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

it('lines arrive whole and in order, however they are cut', async () => {
  using one = await ends()
  const text = Array.from({ length: 50 }, (_, n) => `${JSON.stringify({ n, text: 'ä'.repeat(n) })}\n`).join(
    '',
  )
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += 7) {
    one.other.write(bytes.subarray(at, at + 7))
    if (at % 70 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await waitUntil('all have arrived', () => one.messages.length === 50)
  expect(one.messages[49]).toEqual({ n: 49, text: 'ä'.repeat(49) })
  expect(one.ends).toEqual([])
})

it.each([
  [
    'a line that is one byte too long',
    `{"a":"${'x'.repeat(262_144 - 7)}"}\n`,
    'sends a line that is too long',
  ],
  ['a line without an end', 'x'.repeat(262_145), 'sends a line that is too long'],
  ['a line that is no JSON', 'hello\n', 'sends a line that is no message'],
  ['an empty line', '\n', 'sends a line that is no message'],
  ['a number', '7\n', 'sends a line that is no message'],
  ['a list', '[]\n', 'sends a line that is no message'],
  ['null', 'null\n', 'sends a line that is no message'],
])('%s ends the connection, and what follows is not read', async (_name, text, why) => {
  using one = await ends()
  one.other.write(`${text}{"kind":"late"}\n`)
  await waitUntil('it has ended', () => one.ends.length > 0)
  await waitUntil('the other side knows', () => one.other.destroyed)
  expect(one.ends).toEqual([why])
  expect(one.messages).toEqual([])
})

it('the longest line is read', async () => {
  using one = await ends()
  one.other.write(`{"a":"${'x'.repeat(262_144 - 8)}"}\n`)
  await waitUntil('it has arrived', () => one.messages.length === 1)
})

it('half a line and then the end: nothing is read, and the end is one in order', async () => {
  using one = await ends()
  one.other.end('{"kind":"half"')
  await waitUntil('it has ended', () => one.ends.length > 0)
  expect(one.ends).toEqual([''])
  expect(one.messages).toEqual([])
})

it('a channel that is broken by what it was told reads no more', async () => {
  using one = await ends((channel) => channel.break('enough'))
  one.other.write('{"n":1}\n{"n":2}\n')
  await waitUntil('it has ended', () => one.ends.length > 0)
  expect(one.messages).toEqual([{ n: 1 }])
  expect(one.ends).toEqual(['enough'])
})

it('other runs that read nothing are given up: what waits for them is bounded', async () => {
  using one = await ends()
  one.other.pause()
  const message = { text: 'x'.repeat(100_000) }
  for (let n = 0; n < 100; n++) one.channel.send(message)
  expect(one.ends).toEqual(['does not read'])
})

it('closing does not wait for ever for one that does not read', async () => {
  using one = await ends()
  one.other.pause()
  for (let n = 0; n < 30; n++) one.channel.send({ text: 'x'.repeat(100_000) })
  const startMs = performance.now()
  await one.channel.close()
  expect(performance.now() - startMs).toBeLessThan(10_000)
  expect(one.ends).toEqual([])
})

it('what was sent before the close arrives', async () => {
  using one = await ends()
  let text = ''
  one.other.on('data', (bytes) => (text += bytes.toString()))
  one.channel.send({ kind: 'last' })
  await one.channel.close()
  await waitUntil('the other side has it', () => text === '{"kind":"last"}\n')
})
