import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it, onTestFinished } from 'vitest'
import { askStun } from '#client/stun-request.ts'
import { ipToBytes } from '#protocol/ip-address.ts'
import { isBindingRequest, STUN_ANSWER_BYTES_MAX, writeBindingAnswer } from '#protocol/stun.ts'

/** A STUN server on loopback that drops the first requests and delays its answers. */
async function slowServer(delayMs: number, lost = 0): Promise<{ port: number; requests: () => number }> {
  const socket = createSocket('udp4')
  onTestFinished(() => void socket.close())
  let requests = 0
  socket.on('message', (message, { address, port }) => {
    if (!isBindingRequest(message) || ++requests <= lost) return
    const answer = Buffer.alloc(STUN_ANSWER_BYTES_MAX)
    const byteCount = writeBindingAnswer(answer, message, ipToBytes(address), port)
    void sleep(delayMs).then(() => {
      try {
        socket.send(answer.subarray(0, byteCount), port, address)
      } catch {
        // The test is over.
      }
    })
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return { port: socket.address().port, requests: () => requests }
}

it('a round trip longer than the retry interval is measured in full', async () => {
  const { port, requests } = await slowServer(1_200)
  const { roundTripMs } = await askStun('127.0.0.1', port, 10_000)
  expect(requests()).toBeGreaterThan(1)
  expect(roundTripMs).toBeGreaterThan(1_150)
})

it('an answer to the second request is timed from that request', async () => {
  const { port } = await slowServer(0, 1)
  const startMs = performance.now()
  const { roundTripMs } = await askStun('127.0.0.1', port, 10_000)
  // The second request is sent half a second after the first, however slow the answer is.
  expect(performance.now() - startMs - roundTripMs).toBeGreaterThan(450)
})

it('an answer to another transaction is ignored', async () => {
  const socket = createSocket('udp4')
  onTestFinished(() => void socket.close())
  socket.on('message', (message, { address, port }) => {
    const answer = Buffer.alloc(STUN_ANSWER_BYTES_MAX)
    const byteCount = writeBindingAnswer(answer, message, ipToBytes(address), port)
    answer.writeUInt8(answer.readUInt8(8) ^ 1, 8)
    socket.send(answer.subarray(0, byteCount), port, address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  await expect(askStun('127.0.0.1', socket.address().port, 300)).rejects.toThrow('no STUN answer')
})
