// How long a packet takes through an outbox: offered, flushed with what else waits, written to a link that takes
// everything at once.
//
//   one destination     a turn of 44 packets (of 16, for 128 B) leaves as one burst
//   many destinations   a turn of 100 packets, each to another outbox: a flush and a write for each
//   full                nothing is taken, so each packet drops the oldest one

import { expect, test } from 'vitest'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { recvPacketFrame } from '#protocol/frames.ts'
import { HEADER_BYTES, KEY_BYTES } from '#protocol/limits.ts'
import { Counters } from '#relay/counters.ts'
import { DropReason, PacketKind } from '#relay/drop-reason.ts'
import { Outbox, type OutboxLimits } from '#relay/outbox.ts'
import { Packet } from '#relay/packet.ts'
import { measure, perOperation } from './per-operation.ts'
import { MemoryBudget } from '#relay/memory-budget.ts'
import { TakingLink } from './taking-link.ts'

const TURNS = 50
const NOW_MS = 1_000_000
/** The default settings. */
const LIMITS: OutboxLimits = { outboxBytesMax: 524_288, outboxPacketsMax: Infinity }

/** Outboxes with their links, as one relay thread has them. */
class Outboxes {
  readonly counters = new Counters()
  readonly #pairs: readonly { readonly outbox: Outbox; readonly link: TakingLink }[]
  readonly #packet = new Packet()

  constructor(count: number, packetBytes: number) {
    const pool = new BufferPool()
    this.#pairs = Array.from({ length: count }, () => ({
      outbox: Outbox.forClient({
        memoryBudget: MemoryBudget.unbounded(),
        pool,
        limits: LIMITS,
        counters: this.counters,
      }),
      link: new TakingLink(),
    }))
    const frame = Buffer.from(recvPacketFrame(new Uint8Array(KEY_BYTES).fill(7), new Uint8Array(packetBytes)))
    this.#packet.set(frame, 0, HEADER_BYTES + KEY_BYTES, frame.length)
  }

  /** Turns in which each outbox is offered so many packets and then flushed. */
  turn(turns: number, packets: number): void {
    for (let turn = 0; turn < turns; turn++) {
      for (const { outbox } of this.#pairs) {
        for (let at = 0; at < packets; at++) outbox.offerPacket(this.#packet, NOW_MS)
      }
      for (const { outbox, link } of this.#pairs) {
        outbox.flush(link, NOW_MS)
        outbox.written()
      }
    }
  }

  /** Packets that are not taken. */
  offer(packets: number): void {
    for (const { outbox } of this.#pairs) {
      for (let at = 0; at < packets; at++) outbox.offerPacket(this.#packet, NOW_MS)
    }
  }
}

function turning(outboxes: number, packetBytes: number, packets: number): () => void {
  const all = new Outboxes(outboxes, packetBytes)
  all.turn(1, packets)
  expect(all.counters.get('sentData')).toBe(outboxes * packets)
  return () => all.turn(TURNS, packets)
}

function overflowing(outboxes: number, packetBytes: number, packets: number): () => void {
  const all = new Outboxes(outboxes, packetBytes)
  all.offer(5_000)
  expect(all.counters.droppedPackets(DropReason.queueHead, PacketKind.data)).toBeGreaterThan(0)
  return () => all.offer(packets)
}

test('outbox', async ({ bench }) => {
  await measure(
    bench('1,420 B, one destination, 44 a turn', perOperation(TURNS * 44, turning(1, 1_420, 44))),
    bench('1,420 B, one destination, one a turn', perOperation(TURNS, turning(1, 1_420, 1))),
    bench('1,420 B, 100 destinations, one each a turn', perOperation(TURNS * 100, turning(100, 1_420, 1))),
    bench('128 B, one destination, 16 a turn', perOperation(TURNS * 16, turning(1, 128, 16))),
    bench('128 B, 100 destinations, one each a turn', perOperation(TURNS * 100, turning(100, 128, 1))),
    bench('1,420 B, full: each drops the oldest', perOperation(4_000, overflowing(1, 1_420, 4_000))),
    bench('128 B, full: each drops the oldest', perOperation(4_000, overflowing(1, 128, 4_000))),
    bench('1,420 B, 100 full outboxes', perOperation(4_000, overflowing(100, 1_420, 40))),
  )
})
