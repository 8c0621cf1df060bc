// STUN over loopback: answers, and what is not answered. Hosts with several addresses are stun-addresses.test.ts.

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { afterEach, expect, it, type TestContext } from 'vitest'
import { askStun } from '#client/stun-request.ts'
import { readBindingAnswer } from '#protocol/stun.ts'
import { descriptorOf, loadNative } from '#transport/native.ts'
import { StunCounters, StunServer } from '#transport/stun-server.ts'
import { ignoredRequests, request } from '../vectors/stun.ts'

const servers: StunServer[] = []
const sockets: Socket[] = []
afterEach(() => {
  for (const open of [...servers.splice(0), ...sockets.splice(0)]) open.close()
})

async function serve(host: string): Promise<{ server: StunServer; counters: StunCounters; port: number }> {
  const counters = new StunCounters(StunCounters.memory())
  const server = new StunServer({ host, port: 0 }, counters)
  servers.push(server)
  return { server, counters, port: await server.listen() }
}

/** A bound client socket, so that its own port is known. */
async function client(type: 'udp4' | 'udp6', address: string): Promise<Socket> {
  const socket = createSocket(type)
  sockets.push(socket)
  socket.bind(0, address)
  await once(socket, 'listening')
  return socket
}

it('reports their IPv4 address to IPv4 clients of a dual-stack socket, in 32 bytes', async () => {
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

it('reports their IPv6 address to IPv6 clients, in 44 bytes', async () => {
  const { counters, port } = await serve('::')
  const socket = await client('udp6', '::1')
  socket.send(request, port, '::1')
  const [answer] = (await once(socket, 'message')) as [Buffer]
  expect(answer).toHaveLength(44)
  expect((await askStun('::1', port, 3_000)).ip).toBe('::1')
  expect(counters.read()).toMatchObject({ successIpv6: 2 })
})

it('answers valid requests only, also after invalid ones', async () => {
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
  // UDP on loopback keeps the order: with this answer, all datagrams before it have been handled.
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

it('answers nothing while the relay is not healthy', async () => {
  const { server, port } = await serve('127.0.0.1')
  server.isAnswering = false
  await expect(askStun('127.0.0.1', port, 50)).rejects.toThrow('no STUN answer')
  server.isAnswering = true
  await askStun('127.0.0.1', port, 3_000)
})

it("reports that a port is another program's", async () => {
  const other = await client('udp4', '127.0.0.1')
  const { port } = other.address()
  const second = new StunServer({ host: '127.0.0.1', port }, new StunCounters(StunCounters.memory()))
  servers.push(second)
  await expect(second.listen()).rejects.toMatchObject({ code: 'EADDRINUSE' })
})

/** The descriptor of a bound socket; dgram keeps its handle out of sight. */
function descriptorIn(socket: Socket): number {
  const state = Object.getOwnPropertySymbols(socket).find(({ description }) => description === 'state symbol')
  const { handle } = Reflect.get(socket, state ?? '') as { handle: object }
  return descriptorOf({ _handle: handle })
}

it('answers on each of several inherited sockets', async ({ skip }: TestContext) => {
  const native = await loadNative().catch((error: Error) => skip(`native calls: ${error.message}`))
  const inherited: { host: string; port: number; descriptor: number }[] = []
  for (const host of ['127.0.0.1', '::1']) {
    const holder = createSocket(host === '::1' ? 'udp6' : 'udp4').bind(0, host)
    await once(holder, 'listening')
    const { port } = holder.address()
    inherited.push({ host, port, descriptor: native.duplicate(descriptorIn(holder)) })
    holder.close()
  }
  const server = new StunServer(
    { host: '127.0.0.1', port: 0, inherited },
    new StunCounters(StunCounters.memory()),
  )
  servers.push(server)
  await server.listen()
  for (const { host, port } of inherited) expect((await askStun(host, port, 3_000)).ip).toBe(host)
})
