// Calls of verbs at an address where something else answers. What relays answer is verbs.test.ts.

import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { expect, it } from 'vitest'
import { derpfleet } from './program.ts'

it.each([
  ['101', 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'],
  ['half an answer', 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}'],
  ['nothing', ''],
])('end where %s is answered', async (_, answer) => {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => socket.end(answer))
  }).listen(0, '127.0.0.1')
  try {
    await once(server, 'listening')
    const at = `127.0.0.1:${(server.address() as AddressInfo).port}`
    const { code, stdout, stderr } = await derpfleet(['status', '-short', '-addr', at])
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr).toContain('does not answer')
  } finally {
    server.close()
  }
})
