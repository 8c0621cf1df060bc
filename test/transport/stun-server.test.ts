import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { afterEach, expect, it } from 'vitest'
import { askStun } from '#client/stun-request.ts'
import { readBindingAnswer } from '#protocol/stun.ts'
import { StunCounters, StunServer } from '#transport/stun-server.ts'
import { ignoredRequests, request } from '../vectors/stun.ts'

const servers: StunServer[] = []
const sockets: Socket[] = []
afterEach(() => {
  for (const open of [...servers.splice(0), ...sockets.splice(0)]) open.close()
})

async function serve(host: string): Promise<{ server: StunServer; counters: StunCounters; port: number }> {
  const counters = new StunCounters(StunCounters.memory())
  const server = new StunServer(host, counters)
  servers.push(server)
  return { server, counters, port: await server.listen({ host, port: 0 }) }
}

/** A bound client socket, so that its own port is known. */
async function client(type: 'udp4' | 'udp6', address: string): Promise<Socket> {
  const socket = createSocket(type)
  sockets.push(socket)
  socket.bind(0, address)
  await once(socket, 'listening')
  return socket
}

it('tells IPv4 clients of a dual-stack socket their IPv4 address, in 32 bytes', async () => {
  const { counters, port } = await serve('::')
  const socket = await client('udp4', '127.0.0.1')
  socket.send(request, port, '127.0.0.1')
  const [answer] = (await once(socket, 'message')) as [Buffer]
  expect(answer).toHaveLength(32)
  expect(answer.readUInt8(25)).toBe(1)
  expect(readBindingAnswer(answer)?.port).toBe(socket.address().port)
  expect((await askStun('127.0.0.1', port, 3_000)).ip).toBe('127.0.0.1')
  expect(counters.read()).toMatchObject({ successIpv4: 2, successIpv6: 0, notStun: 0 })
})

it('tells IPv6 clients their IPv6 address, in 44 bytes', async () => {
  const { counters, port } = await serve('::')
  const socket = await client('udp6', '::1')
  socket.send(request, port, '::1')
  const [answer] = (await once(socket, 'message')) as [Buffer]
  expect(answer).toHaveLength(44)
  expect((await askStun('::1', port, 3_000)).ip).toBe('::1')
  expect(counters.read()).toMatchObject({ successIpv6: 2 })
})

it('answers nothing but valid requests, and goes on answering those', async () => {
  const { counters, port } = await serve('127.0.0.1')
  const socket = await client('udp4', '127.0.0.1')
  const answers: Buffer[] = []
  socket.on('message', (answer: Buffer) => answers.push(answer))
  const garbage = [
    Buffer.alloc(0),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    Buffer.alloc(1_500, 0xff),
    request.subarray(0, 39),
    Buffer.concat([request, Buffer.of(0)]),
    ...Object.values(ignoredRequests),
  ]
  for (const bytes of garbage) socket.send(bytes, port, '127.0.0.1')
  // UDP on loopback keeps the order: once this is answered, all before it have been judged.
  await askStun('127.0.0.1', port, 3_000)
  expect(answers).toEqual([])
  expect(counters.read()).toMatchObject({ notStun: garbage.length, successIpv4: 1 })
})

it('answers each of many clients at once with its own address', async () => {
  const { port } = await serve('127.0.0.1')
  const clients = await Promise.all(Array.from({ length: 50 }, async () => await client('udp4', '127.0.0.1')))
  const answers = clients.map(async (socket) => (await once(socket, 'message')) as [Buffer])
  for (const socket of clients) socket.send(request, port, '127.0.0.1')
  const ports = (await Promise.all(answers)).map(([answer]) => readBindingAnswer(answer)?.port)
  expect(ports).toEqual(clients.map((socket) => socket.address().port))
})

it('is silent while the relay beside it is not well', async () => {
  const { server, port } = await serve('127.0.0.1')
  server.isAnswering = false
  await expect(askStun('127.0.0.1', port, 50)).rejects.toThrow('no STUN answer')
  server.isAnswering = true
  await askStun('127.0.0.1', port, 3_000)
})

it('says what is wrong with a port that is taken', async () => {
  const { port } = await serve('127.0.0.1')
  const second = new StunServer('127.0.0.1', new StunCounters(StunCounters.memory()))
  servers.push(second)
  await expect(second.listen({ host: '127.0.0.1', port })).rejects.toMatchObject({ code: 'EADDRINUSE' })
})
