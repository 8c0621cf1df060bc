// The lane's socket over real sockets: datagrams arrive whole and in order, whether the kernel takes one or many in a call.

import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { UdpPort, type UdpPortParts } from '#lane/udp-port.ts'
import { datagramCalls } from '#transport/datagram-calls.ts'
import { loadFunctions, loadNative, type Native } from '#transport/native.ts'

const HOST = '127.0.0.1'
const native = await loadNative()
const closers: (() => void)[] = []
afterEach(() => {
  for (const close of closers.splice(0)) close()
})

async function peer(): Promise<{ port: number; received: Buffer[] }> {
  const socket = createSocket('udp4')
  socket.bind(0, HOST)
  await once(socket, 'listening')
  closers.push(() => socket.close())
  const received: Buffer[] = []
  socket.on('message', (packet) => received.push(packet))
  return { port: socket.address().port, received }
}

async function lanePort(divider: UdpPortParts['divider']): Promise<{ udp: UdpPort; errors: string[] }> {
  const errors: string[] = []
  const udp = new UdpPort({
    host: HOST,
    port: 0,
    receive: () => undefined,
    onFull: () => errors.push('full'),
    onError: () => errors.push('error'),
    divider,
  })
  await udp.bind()
  closers.push(() => udp.close())
  return { udp, errors }
}

const byNative: UdpPortParts['divider'] = (socket) => datagramCalls(socket, native)

const { setsockopt } = await loadFunctions({
  setsockopt: 'int setsockopt(int, int, int, void *, uint32_t)',
})
const [SOL_SOCKET, SO_NO_CHECK] = [1, 11]

/** The kernel refuses to divide without checksums, as it does for an interface that has none, or with a smaller MTU. */
const refused: UdpPortParts['divider'] = (socket) => {
  const setDatagramBytes: Native['setDatagramBytes'] = (descriptor, bytes) => {
    setsockopt?.(descriptor, SOL_SOCKET, SO_NO_CHECK, Buffer.from([1, 0, 0, 0]), 4)
    return native.setDatagramBytes(descriptor, bytes)
  }
  const joinDatagrams: Native['joinDatagrams'] = (descriptor) => native.joinDatagrams(descriptor)
  return datagramCalls(socket, { setDatagramBytes, joinDatagrams })
}

describe.each([
  ['a call for each datagram', () => undefined],
  ['many in a call', byNative],
  ['many in a call that the kernel refuses', refused],
] as const)('%s', (_way, divider) => {
  it('to two peers, in a mixture of lengths', async () => {
    const [first, second] = [await peer(), await peer()]
    const { udp, errors } = await lanePort(divider)
    const sent: [Buffer[], Buffer[]] = [[], []]
    for (let at = 0; at < 60; at++) {
      const packet = Buffer.alloc(at % 10 === 9 ? 77 : 1_452, at)
      const to = at % 30 < 20 ? 0 : 1
      sent[to].push(packet)
      udp.send(packet, HOST, [first, second][to]?.port ?? 0)
      if (at % 30 === 29) await new Promise(setImmediate)
    }
    await expect.poll(() => first.received.length + second.received.length, { interval: 1 }).toBe(60)
    expect([first.received, second.received]).toEqual(sent)
    expect(errors).toEqual([])
  })
})
