import { expect, it } from 'vitest'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { toHex } from '#protocol/bytes.ts'
import { isDisco } from '#protocol/disco.ts'
import { peerGoneFrame, recvPacketFrame } from '#protocol/frames.ts'
import { Counters } from '#relay/counters.ts'
import { DropReason, PacketKind } from '#relay/drop-reason.ts'
import { Outbox, type OutboxLimits } from '#relay/outbox.ts'
import { Packet } from '#relay/packet.ts'
import { alice, bob } from '../support/actor.ts'
import { FakeLink } from '../support/fake-link.ts'
import { MemoryBudget } from '#relay/memory-budget.ts'
import { disco } from '../vectors/frames.ts'

const unlimited: OutboxLimits = { outboxBytesMax: Infinity, outboxPacketsMax: Infinity }

/** An outbox with a link that takes a burst only when told to, and the frames that it took. */
class OutboxFixture {
  readonly counters = new Counters()
  readonly pool = new BufferPool()
  readonly outbox: Outbox
  readonly link: FakeLink
  nowMs = 0
  #received: Buffer[] = []

  constructor(limits: Partial<OutboxLimits> = {}) {
    this.outbox = Outbox.forClient({
      memoryBudget: MemoryBudget.unbounded(),
      pool: this.pool,
      limits: { ...unlimited, ...limits },
      counters: this.counters,
    })
    const received = (bytes: Buffer): void => void this.#received.push(bytes)
    const remote = { ip: new Uint8Array(16), port: 0 }
    this.link = new FakeLink(remote, false, { received, hasWork: () => undefined })
    this.link.attach({
      receive: () => undefined,
      written: () => this.outbox.written(),
      closed: () => undefined,
    })
  }

  offer(packet: Uint8Array): void {
    const frame = Buffer.from(recvPacketFrame(alice.key, packet))
    const lying = new Packet()
    lying.set(frame, 0, 37, frame.length)
    this.outbox.offerPacket(lying, this.nowMs)
    frame.fill(0xee)
  }

  /** Writes a burst. */
  flush(): void {
    this.outbox.flush(this.link, this.nowMs)
  }

  /** The frames of the burst in flight, once the system has taken it. */
  take(): Buffer[] {
    this.link.work()
    const bytes = Buffer.concat(this.#received)
    this.#received = []
    const frames: Buffer[] = []
    for (let at = 0; at < bytes.length; at = at + 5 + bytes.readUInt32BE(at + 1)) {
      frames.push(bytes.subarray(at, at + 5 + bytes.readUInt32BE(at + 1)))
    }
    return frames
  }

  /** Flushes and takes until nothing is left. Returns the packets' names. */
  drainNames(): string[] {
    const frames: Buffer[] = []
    for (let more = true; more;) {
      this.flush()
      const burst = this.take()
      frames.push(...burst)
      more = burst.length > 0
    }
    return frames.map((frame) => nameIn(frame))
  }

  dropped(reason: DropReason): readonly [data: number, disco: number] {
    const of = (kind: PacketKind): number => this.counters.droppedPackets(reason, kind)
    return [of(PacketKind.data), of(PacketKind.disco)]
  }
}

/** A data packet with a number in it. */
function data(n: number, bytes = 8): Buffer {
  const packet = Buffer.alloc(Math.max(8, bytes), 0x20)
  packet.write(`d${n}`, 'latin1')
  return packet
}

/** A disco message with a number in it. */
function discoMessage(n: number, bytes = 70): Buffer {
  const packet = Buffer.alloc(bytes, 0x20)
  disco.message.copy(packet)
  packet.write(`m${n}`.padEnd(8), 62, 'latin1')
  return packet
}

/** The name of the packet in a frame; control frames are named by their type. */
function nameIn(frame: Buffer): string {
  if (frame[0] !== 5) return `control ${frame[0]}`
  const at = isDisco(frame, 37, frame.length) ? 37 + 62 : 37
  return frame.toString('latin1', at, at + 8).trim()
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

it('control frames leave before disco, disco before data, each lane in order', () => {
  const bench = new OutboxFixture()
  const gone = peerGoneFrame(bob.key, 0)
  bench.offer(data(1))
  bench.offer(discoMessage(1))
  bench.outbox.offerControl(gone, 0)
  bench.offer(data(2))
  bench.offer(discoMessage(2))
  bench.outbox.offerControl(peerGoneFrame(alice.key, 0), 0)
  bench.flush()
  const frames = bench.take()
  expect(frames.map((frame) => nameIn(frame))).toEqual(['control 8', 'control 8', 'm1', 'm2', 'd1', 'd2'])
  expect(toHex(frames[0] ?? gone)).toBe(toHex(gone))
  expect(bench.link.burstCount).toBe(1)
})

it('nothing is flushed while a burst is in flight, and frames that wait leave with the next one', () => {
  const bench = new OutboxFixture()
  bench.offer(data(1))
  bench.flush()
  bench.offer(data(2))
  bench.flush()
  bench.offer(discoMessage(1))
  bench.flush()
  expect(bench.take().map((frame) => nameIn(frame))).toEqual(['d1'])
  expect(bench.drainNames()).toEqual(['m1', 'd2'])
})

it.each([
  ['taken', false],
  ['used up', true],
])('memory of a burst is given back when it has been %s', (_what, isCopying) => {
  const bench = new OutboxFixture()
  bench.link.isCopying = isCopying
  bench.offer(data(1, 1_400))
  bench.flush()
  expect(bench.pool.lentBytes > 0).toBe(!isCopying)
  bench.offer(data(2))
  bench.flush()
  expect(bench.take().map((frame) => nameIn(frame))).toEqual(['d1'])
  expect(bench.drainNames()).toEqual(['d2'])
  expect(bench.pool.lentBytes).toBe(0)
})

it('a burst is bounded, however much waits', () => {
  const bench = new OutboxFixture()
  const sent = numbers(0, 4_000)
  for (const n of sent) bench.offer(data(n, 1_400))
  const names: string[] = []
  for (;;) {
    bench.flush()
    const burst = bench.take()
    if (burst.length === 0) break
    expect(Buffer.concat(burst).length).toBeLessThan(2 * 131_072)
    names.push(...burst.map((frame) => nameIn(frame)))
  }
  expect(names).toEqual(sent.map((n) => `d${n}`))
})

it('a full data lane drops its oldest, to the byte, and never disco messages', () => {
  const frameBytes = 37 + 100
  const bench = new OutboxFixture({ outboxBytesMax: 10 * frameBytes })
  for (const n of numbers(0, 3)) bench.offer(discoMessage(n))
  for (const n of numbers(0, 10)) bench.offer(data(n, 100))
  expect(bench.dropped(DropReason.queueHead)).toEqual([0, 0])
  bench.offer(data(10, 100))
  expect(bench.dropped(DropReason.queueHead)).toEqual([1, 0])
  bench.offer(data(11, 101))
  expect(bench.dropped(DropReason.queueHead)).toEqual([3, 0])
  expect(bench.counters.droppedBytes(DropReason.queueHead, PacketKind.data)).toBe(300)
  expect(bench.drainNames()).toEqual(['m0', 'm1', 'm2', ...numbers(3, 12).map((n) => `d${n}`)])
})

it('a packet larger than the limit has the lane to itself', () => {
  const bench = new OutboxFixture({ outboxBytesMax: 1_000 })
  bench.offer(data(1))
  bench.offer(data(2, 65_536))
  expect(bench.drainNames()).toEqual(['d2'])
})

it('with a limit in packets the next one evicts the oldest, as with derper at 32', () => {
  const bench = new OutboxFixture({ outboxPacketsMax: 32 })
  for (const n of numbers(0, 5)) bench.offer(discoMessage(n))
  for (const n of numbers(0, 33)) bench.offer(data(n))
  expect(bench.dropped(DropReason.queueHead)).toEqual([1, 0])
  expect(bench.drainNames()).toEqual([
    ...numbers(0, 5).map((n) => `m${n}`),
    ...numbers(1, 33).map((n) => `d${n}`),
  ])
})

it('a flood of disco messages evicts disco messages only', () => {
  const bench = new OutboxFixture()
  for (const n of numbers(0, 50)) bench.offer(data(n))
  for (const n of numbers(0, 1_000)) bench.offer(discoMessage(n))
  const [dataDropped, discoDropped] = bench.dropped(DropReason.queueHead)
  expect(dataDropped).toBe(0)
  // 64 KiB of frames of 107 bytes.
  expect(discoDropped).toBe(1_000 - 612)
  expect(bench.drainNames()).toEqual([
    ...numbers(1_000 - 612, 1_000).map((n) => `m${n}`),
    ...numbers(0, 50).map((n) => `d${n}`),
  ])
})

it('data that has waited for more than a second is dropped, younger data and all disco is sent', () => {
  const bench = new OutboxFixture()
  bench.offer(data(9_999))
  bench.flush()
  const offeredMs = numbers(0, 200).map((n) => 10 * n)
  for (const ms of offeredMs) {
    bench.nowMs = ms
    bench.offer(data(ms))
    if (ms % 500 === 0) bench.offer(discoMessage(ms))
  }
  bench.nowMs = 2_000
  bench.take()
  const names = bench.drainNames()
  expect(names.slice(0, 4)).toEqual(['m0', 'm500', 'm1000', 'm1500'])
  const sentMs = names.slice(4).map((name) => Number(name.slice(1)))
  expect(bench.dropped(DropReason.queueAge)).toEqual([offeredMs.length - sentMs.length, 0])
  // Ages are known to a tenth of a second: nothing older than a second is sent, everything younger than 0.9 s is.
  expect(sentMs[0]).toBeGreaterThanOrEqual(1_000)
  expect(sentMs[0]).toBeLessThanOrEqual(1_100)
  expect(sentMs).toEqual(offeredMs.slice(offeredMs.indexOf(sentMs[0] ?? -1)))
})

it('knows when the burst in flight was begun', () => {
  const bench = new OutboxFixture()
  expect(bench.outbox.writingSinceMs).toBeUndefined()
  bench.nowMs = 5
  bench.offer(data(1))
  bench.flush()
  bench.nowMs = 7
  bench.flush()
  expect(bench.outbox.writingSinceMs).toBe(5)
  bench.take()
  expect(bench.outbox.writingSinceMs).toBeUndefined()
  bench.flush()
  expect(bench.outbox.writingSinceMs).toBeUndefined()
})

it('control frames are never dropped, and rejected beyond 16 MiB', () => {
  const bench = new OutboxFixture()
  const frame = peerGoneFrame(bob.key, 0)
  let taken = 0
  while (bench.outbox.offerControl(frame, 0)) taken++
  expect(taken).toBe(Math.floor(16_777_216 / frame.length))
  expect(bench.drainNames().length).toBe(taken)
  expect(bench.outbox.offerControl(frame, 0)).toBe(true)
})

it('closing drops everything that waits, counted by reason, and keeps only the burst in flight until it is taken', () => {
  const bench = new OutboxFixture()
  bench.offer(data(1))
  bench.flush()
  for (const n of numbers(0, 100)) bench.offer(data(n, 300))
  for (const n of numbers(0, 7)) bench.offer(discoMessage(n))
  bench.outbox.offerControl(peerGoneFrame(bob.key, 0), 0)
  bench.outbox.close()
  expect(bench.dropped(DropReason.goneDisconnected)).toEqual([100, 7])
  expect(bench.pool.lentBytes).toBe(2_048)
  bench.take()
  expect(bench.pool.lentBytes).toBe(0)
  expect(bench.counters.get('queuedPackets')).toBe(0)
  expect(bench.counters.get('queuedBytes')).toBe(0)
})

it('counts packets sent and queued, by payload and by frames', () => {
  const bench = new OutboxFixture()
  for (const n of numbers(0, 3)) bench.offer(data(n, 100))
  bench.offer(discoMessage(0, 80))
  expect(bench.counters.get('queuedPackets')).toBe(4)
  expect(bench.counters.get('queuedBytes')).toBe(3 * 137 + 117)
  bench.nowMs = 30
  bench.flush()
  const counted = ['queuedPackets', 'queuedBytes', 'sentData', 'sentDisco', 'sentBytesData'] as const
  expect(counted.map((name) => bench.counters.get(name))).toEqual([0, 0, 3, 1, 300])
  expect(bench.counters.get('sentBytesDisco')).toBe(80)
  expect(bench.counters.get('wireBytesOut')).toBe(3 * 137 + 117)
  expect(bench.counters.histogram('queueDelay').sum).toBeCloseTo(2 * 0.03, 6)
})

it('the delay of packets behind control frames is counted when they leave', () => {
  const bench = new OutboxFixture()
  const frame = peerGoneFrame(bob.key, 0)
  for (let bytes = 0; bytes < 300_000; bytes += frame.length) bench.outbox.offerControl(frame, 0)
  bench.offer(data(1))
  bench.flush()
  expect(bench.take().every((taken) => taken[0] === 8)).toBe(true)
  expect(bench.counters.histogram('queueDelay').counts.every((count) => count === 0)).toBe(true)
  expect(bench.drainNames().at(-1)).toBe('d1')
  expect(bench.counters.histogram('queueDelay').counts.reduce((sum, count) => sum + count)).toBe(1)
})
