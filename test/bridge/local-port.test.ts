// The port for the VPN over real sockets: each packet arrives once, whole and in order, whether the kernel takes one or many in a call.

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { LocalPort } from '#bridge/local-port.ts'
import type { DatagramCallsOf } from '#protocol/datagram-calls.ts'
import { datagramCalls } from '#transport/datagram-calls.ts'
import { loadNative } from '#transport/native.ts'

const HOST = '127.0.0.1'
const native = await loadNative()
const calls: DatagramCallsOf = (socket) => datagramCalls(socket, native)

const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function vpnSocket(received: Buffer[]): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.bind(0, HOST)
  await once(socket, 'listening')
  socket.on('message', (packet) => received.push(packet))
  closers.push(() => socket.close())
  return socket
}

async function localPort(
  received: Buffer[],
  options: Parameters<typeof LocalPort.open>[2],
): Promise<LocalPort> {
  const port = await LocalPort.open({ host: HOST, port: 0 }, (packet) => received.push(packet), options)
  closers.push(() => port.close())
  return port
}

/** A message of data as WireGuard sends it. */
function message(counter: number, length: number): Buffer {
  const bytes = Buffer.alloc(length, counter)
  bytes.writeUInt32LE(4, 0)
  bytes.writeUInt32LE(0x1234, 4)
  bytes.writeBigUInt64LE(BigInt(counter), 8)
  return bytes
}

describe.each([
  ['a call for each packet', {}],
  ['many packets in a call', { calls, isWireguard: true }],
] as const)('%s', (_way, options) => {
  it('to the VPN, in any mixture of lengths', async () => {
    const received: Buffer[] = []
    const vpn = await vpnSocket(received)
    const local = await localPort([], options)
    const length = fc.oneof(fc.constant(1_452), fc.constant(96), fc.integer({ min: 1, max: 1_500 }))
    await fc.assert(
      fc.asyncProperty(fc.array(length, { minLength: 1, maxLength: 90 }), async (lengths) => {
        received.length = 0
        const sent = lengths.map((bytes, at) => Buffer.alloc(bytes, at))
        for (const packet of sent) local.send(packet, vpn.address().port)
        await expect.poll(() => received.length, { interval: 1 }).toBe(sent.length)
        expect(received).toEqual(sent)
      }),
      { numRuns: 50 },
    )
  })

  it('from the VPN, many at once', async () => {
    const received: Buffer[] = []
    const local = await localPort(received, options)
    // Sends as wireguard-go does: many of one length, then a shorter one.
    const vpn = await localPort([], { calls })
    const sent: Buffer[] = []
    for (let at = 0; at < 400; at++) sent.push(message(at, at % 50 === 49 ? 1_000 : 1_452))
    for (const [at, packet] of sent.entries()) {
      vpn.send(packet, local.port)
      if (at % 50 === 49) await new Promise(setImmediate)
    }
    await expect.poll(() => received.length, { interval: 1 }).toBe(sent.length)
    expect(received).toEqual(sent)
  })
})

it('reads many packets in few calls', async () => {
  const reads: number[] = []
  const socket = await vpnSocket([])
  const joining = calls(socket)
  expect(joining?.joinDatagrams()).toBe(true)
  socket.on('message', (packet) => reads.push(packet.length))
  const vpn = await localPort([], { calls })
  for (let at = 0; at < 40; at++) vpn.send(message(at, 1_452), socket.address().port)
  await expect.poll(() => reads.reduce((sum, bytes) => sum + bytes, 0), { interval: 1 }).toBe(40 * 1_452)
  expect(reads.length).toBeLessThan(5)
})

it('reads no more in a turn than a row of packets', async () => {
  const received: Buffer[] = []
  const local = await localPort(received, { calls, isWireguard: true })
  const vpn = await localPort([], { calls })
  let turnStart = 0
  const perTurn: number[] = []
  for (let at = 0; at < 160; at++) vpn.send(message(at, 1_452), local.port)
  while (received.length < 160) {
    await new Promise(setImmediate)
    perTurn.push(received.length - turnStart)
    turnStart = received.length
  }
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(64)
})

it('closed in the middle of a turn, sends what waits, and neither sends nor reads on', async () => {
  const [received, answers]: [Buffer[], Buffer[]] = [[], []]
  const vpn = await localPort(answers, { calls })
  const onPacket = (packet: Buffer): unknown => received.push(packet)
  const local = await LocalPort.open({ host: HOST, port: 0 }, onPacket, { calls, isWireguard: true })
  for (let at = 0; at < 3; at++) vpn.send(message(at, 1_452), local.port)
  await expect.poll(() => received.length, { interval: 1 }).toBe(3)
  vpn.send(message(3, 1_452), local.port)
  local.send(message(0, 100), vpn.port)
  local.close()
  local.send(message(1, 100), vpn.port)
  await expect.poll(() => answers, { interval: 1 }).toEqual([message(0, 100)])
  for (let turns = 0; turns < 3; turns++) await new Promise(setImmediate)
  expect([received.length, answers.length]).toEqual([3, 1])
})
