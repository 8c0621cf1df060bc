// The stream of the status page over real sockets: bounded in number, and in what it keeps for a browser that does not read.

import { once } from 'node:events'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Overview } from '#ops/overview.ts'
import { StatusStream } from '#ops/status-stream.ts'
import { waitUntil } from '../support/process.ts'
import { largeOverview, OVERVIEW } from './overviews.ts'

const STREAMS_MAX = 2

let overview: Overview
let stream: StatusStream
let server: Server
let responses: ServerResponse[]
let refused: number
const sockets: Socket[] = []

beforeEach(async () => {
  overview = OVERVIEW
  stream = new StatusStream({ overview: () => overview, streamsMax: STREAMS_MAX })
  responses = []
  refused = 0
  server = createServer((_, response) => {
    responses.push(response)
    if (stream.open(response)) return
    refused++
    response.writeHead(503).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
  server.closeAllConnections()
  server.close()
})

interface Update {
  readonly title: string
  readonly parts: Readonly<Record<string, string>>
}

/** A browser, as far as the stream sees it. */
async function browser(): Promise<{ socket: Socket; updates: () => Update[] }> {
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  sockets.push(socket)
  let text = ''
  socket.on('error', () => undefined)
  socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  socket.write('GET /status/events HTTP/1.1\r\nHost: localhost\r\n\r\n')
  await once(socket, 'data')
  return {
    socket,
    updates: () => [...text.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => JSON.parse(data) as Update),
  }
}

it('sends all parts first, then only what changes, and nothing while nothing does', async () => {
  const { updates } = await browser()
  await waitUntil('the first update', () => updates().length === 1)
  expect(updates()[0]?.title).toBe('Serving · fra1.example')
  expect(Object.keys(updates()[0]?.parts ?? {})).toContain('tiles')
  stream.update()
  overview = { ...OVERVIEW, state: 'draining', clientsLeft: 7, atMs: OVERVIEW.atMs + 500 }
  stream.update()
  await waitUntil('the second update', () => updates().length === 2)
  expect(updates()[1]?.title).toBe('Draining · fra1.example')
  expect(Object.keys(updates()[1]?.parts ?? {})).toEqual(['state'])
})

it('refuses browsers over the maximum, and has room again when one leaves', async () => {
  const [first] = [await browser(), await browser()]
  await browser()
  expect([stream.count, refused]).toEqual([STREAMS_MAX, 1])
  first.socket.destroy()
  await waitUntil('the stream is over', () => stream.count === 1)
  await browser()
  expect([stream.count, refused]).toEqual([STREAMS_MAX, 1])
})

it('keeps little for a browser that does not read, and sends it all parts when it does', async () => {
  const { socket, updates } = await browser()
  await waitUntil('the first update', () => updates().length === 1)
  socket.pause()
  const most: number[] = []
  for (let i = 0; i < 400; i++) {
    overview = i % 2 === 0 ? largeOverview(60) : OVERVIEW
    stream.update()
    most.push(responses[0]?.writableLength ?? 0)
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(most.at(-1)).toBeGreaterThan(0)
  expect(Math.max(...most)).toBeLessThan(400_000)
  socket.resume()
  await waitUntil('it was written', () => responses[0]?.writableLength === 0)
  overview = { ...OVERVIEW, hostname: 'last.example' }
  await waitUntil('all parts come again', () => {
    stream.update()
    const last = updates().at(-1)
    return last?.title === 'Serving · last.example' && 'relays' in last.parts && 'world' in last.parts
  })
})

it('ends all streams', async () => {
  const { socket } = await browser()
  const ended = once(socket, 'end')
  stream.close()
  await ended
  expect(stream.count).toBe(0)
})
