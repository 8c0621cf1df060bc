// Looks from outside at ports on which something else answers. What is looked at, and how often, is look-service.test.ts.

import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { lookAt } from '#control/outside-look.ts'

/** Port 80 there is nobody's. */
const HOST = '127.80.80.80'
let server: Server | undefined

afterEach(() => server?.close())

it.skipIf(process.getuid?.() !== 0).each([
  ['101', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello'],
  ['no HTTP', 'garbage\r\n\r\n'],
  ['half an answer', 'HTTP/1.1 200 OK\r\n'],
])('end also where port 80 answers with %s', async (_, answer) => {
  server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => socket.end(answer))
  }).listen(80, HOST)
  await once(server, 'listening')
  const node = { name: 'a', hostname: 'localhost', ipv4: HOST, ipv6: 'none', derpPort: 80, stunPort: -1 }
  const ports = await lookAt([{ ...node, canPort80: true }], { authorities: [] })
  expect(ports.map(({ kind, result }) => [kind, result])).toEqual([
    ['derp', 'failed'],
    ['http', 'failed'],
    ['derp', 'skipped'],
  ])
})
