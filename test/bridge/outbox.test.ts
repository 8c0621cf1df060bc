// What waits for the relay: bounded for each peer, the oldest dropped, peers in turn.

import { setImmediate as nextTurn } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { OutgoingPacket } from '#client/derp-client.ts'
import { Outbox, PeerQueue, type RelayLink } from '#bridge/outbox.ts'

/** A relay that takes nothing until it is told to. */
class SlowLink implements RelayLink {
  isConnected = true
  queuedBytes = 0
  readonly sent: string[] = []
  writes = 0
  #drained = Promise.withResolvers<void>()

  sendAll(packets: readonly OutgoingPacket[]): boolean {
    this.writes++
    for (const { destination, packet } of packets) {
      this.sent.push(`${Buffer.from(destination).toString()} ${packet[0]}`)
      this.queuedBytes += packet.length
    }
    return false
  }

  drained(): Promise<void> {
    return this.#drained.promise
  }

  drain(): void {
    this.queuedBytes = 0
    this.#drained.resolve()
    this.#drained = Promise.withResolvers<void>()
  }
}

function packetOf(peer: string, number: number, bytes = 1_000): OutgoingPacket {
  return { destination: Buffer.from(peer), packet: new Uint8Array(bytes).fill(number) }
}

test('packets of one turn leave in one write, in order', async () => {
  const link = new SlowLink()
  const [outbox, queue] = [new Outbox(() => link), new PeerQueue(65_536)]
  for (let i = 0; i < 20; i++) outbox.offer(queue, packetOf('bob', i))
  await nextTurn()
  expect(link.writes).toBe(1)
  expect(link.sent).toEqual(Array.from({ length: 20 }, (_, i) => `bob ${i}`))
})

test('behind a slow relay the queue stays short and has the newest', async () => {
  const link = new SlowLink()
  const [outbox, queue] = [new Outbox(() => link), new PeerQueue(65_536)]
  link.queuedBytes = 1_000_000
  for (let i = 0; i < 10_000; i++) {
    outbox.offer(queue, packetOf('bob', i % 251))
    if (i % 100 === 0) await nextTurn()
    expect(queue.bytes).toBeLessThanOrEqual(65_536)
  }
  expect(link.sent).toEqual([])
  expect(queue.dropped).toBe(10_000 - 65)
  link.drain()
  await nextTurn()
  await nextTurn()
  expect(link.sent).toEqual(Array.from({ length: 65 }, (_, i) => `bob ${(10_000 - 65 + i) % 251}`))
})

test('who sends much does not hold up the others', async () => {
  const link = new SlowLink()
  const [outbox, much, little] = [new Outbox(() => link), new PeerQueue(65_536), new PeerQueue(65_536)]
  for (let i = 0; i < 60; i++) outbox.offer(much, packetOf('bob', i))
  outbox.offer(little, packetOf('cathy', 0))
  await nextTurn()
  expect(link.sent.indexOf('cathy 0')).toBeLessThan(2)
})

test('a packet larger than the queue passes, and without a relay everything is dropped and counted', async () => {
  const link = new SlowLink()
  const [outbox, queue] = [new Outbox(() => (link.isConnected ? link : undefined)), new PeerQueue(2_048)]
  outbox.offer(queue, packetOf('bob', 1, 65_000))
  await nextTurn()
  expect(link.sent).toEqual(['bob 1'])
  link.isConnected = false
  outbox.offer(queue, packetOf('bob', 2))
  await nextTurn()
  expect([queue.dropped, queue.bytes]).toEqual([1, 0])
})
