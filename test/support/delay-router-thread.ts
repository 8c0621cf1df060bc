// The thread of delay-router.ts: takes IP packets from the hosts' TUN devices and gives each to its destination's device
// after the path's delay. One synchronous loop, so that delays are exact to a fraction of a millisecond whatever the
// test's own thread does. Keeps the order of packets on a path. Runs in a worker thread; ends by the flag in shared
// memory.

import koffi from 'koffi'
import { workerData } from 'node:worker_threads'
import { BLOCKED, PathMemory, type RouterThreadData } from './delay-paths.ts'

const { descriptors, numbers, memory } = workerData as RouterThreadData
const paths = new PathMemory(memory, descriptors.length)

const libc = koffi.load(null)
const read = libc.func('intptr_t read(int, void *, size_t)')
const write = libc.func('intptr_t write(int, void *, size_t)')
const ppoll = libc.func('int ppoll(void *, size_t, void *, void *)')

const POLLIN = 1
/** Of `struct pollfd`: descriptor, wanted and returned events. */
const POLL_BYTES = 8
/** How often the thread looks at its stop flag when no packet comes. */
const IDLE_MS = 20
/** The kernel wakes a waiting thread about this late; for so long the thread looks without waiting. */
const WAKE_MS = 0.15
/** Of one host at a time, so that no host keeps the others waiting. */
const READS_AT_ONCE = 64
/** As a real router has a bounded queue: about a second of 100 Mbit/s. */
const QUEUE_PACKETS_MAX = 10_000
const PACKET_BYTES_MAX = 65_536
const UDP = 17
const TCP = 6

interface Held {
  readonly dueMs: number
  /** Packets that are due at the same time leave in this order. */
  readonly sequence: number
  readonly to: number
  readonly packet: Buffer
}

/** A binary heap by due time. */
const heap: Held[] = []
let sequence = 0
/** By path: when the last packet on it leaves; a later one does not overtake it. */
const lastDueMs = new Float64Array(descriptors.length ** 2)
/** The host by the last byte of its address; in an IPv6 address the digits are read as hexadecimal. */
const byLastByte4 = new Int16Array(256).fill(-1)
const byLastByte6 = new Int16Array(256).fill(-1)
for (const [i, number] of numbers.entries()) {
  byLastByte4[number] = i
  byLastByte6[Number.parseInt(`${number}`, 16)] = i
}

function isBefore(one: Held, other: Held): boolean {
  return one.dueMs < other.dueMs || (one.dueMs === other.dueMs && one.sequence < other.sequence)
}

function push(held: Held): void {
  let at = heap.push(held) - 1
  while (at > 0) {
    const parent = (at - 1) >> 1
    const above = heap[parent] as Held
    if (!isBefore(held, above)) break
    heap[at] = above
    at = parent
  }
  heap[at] = held
}

function pop(): void {
  const last = heap.pop() as Held
  if (heap.length === 0) return
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && isBefore(heap[child + 1] as Held, heap[child] as Held)) child++
    if (!isBefore(heap[child] as Held, last)) break
    heap[at] = heap[child] as Held
    at = child
  }
  heap[at] = last
}

const buffer = Buffer.allocUnsafeSlow(PACKET_BYTES_MAX)

function take(from: number, bytes: number, nowMs: number): void {
  const isIpv6 = (buffer[0] ?? 0) >> 4 === 6
  const lastByte = buffer[isIpv6 ? 39 : 19] ?? 0
  // Multicast has no path; hosts send it to find neighbours and routers.
  const isMulticast = isIpv6 ? buffer[24] === 0xff : (buffer[16] ?? 0) >= 224
  const to = isMulticast ? -1 : ((isIpv6 ? byLastByte6 : byLastByte4)[lastByte] ?? -1)
  if (to < 0) return
  const path = from * descriptors.length + to
  const protocol = buffer[isIpv6 ? 6 : 9]
  const blocked = paths.blocked[path] ?? 0
  const kind =
    (isIpv6 ? BLOCKED.ipv6 : BLOCKED.ipv4) |
    (protocol === UDP ? BLOCKED.udp : protocol === TCP ? BLOCKED.tcp : 0)
  const isLost = Math.random() < (paths.loss[path] ?? 0)
  if ((blocked & kind) !== 0 || isLost || heap.length >= QUEUE_PACKETS_MAX) {
    paths.dropped[path] = (paths.dropped[path] ?? 0) + 1
    return
  }
  const delayMs = (paths.delayMs[path] ?? 0) + Math.random() * (paths.jitterMs[path] ?? 0)
  const dueMs = Math.max(nowMs + delayMs, lastDueMs[path] ?? 0)
  lastDueMs[path] = dueMs
  paths.carried[path] = (paths.carried[path] ?? 0) + 1
  push({ dueMs, sequence: sequence++, to, packet: Buffer.from(buffer.subarray(0, bytes)) })
}

const polls = Buffer.alloc(POLL_BYTES * descriptors.length)
const polls16 = new Int16Array(polls.buffer, polls.byteOffset, polls.length / 2)
for (const [i, descriptor] of descriptors.entries()) {
  polls.writeInt32LE(descriptor, i * POLL_BYTES)
  polls.writeInt16LE(POLLIN, i * POLL_BYTES + 4)
}
const timeout = Buffer.alloc(16)

function readAll(from: number, descriptor: number, nowMs: number): void {
  for (let reads = 0; reads < READS_AT_ONCE; reads++) {
    const bytes = Number(read(descriptor, buffer, PACKET_BYTES_MAX))
    if (bytes <= 0) return
    take(from, bytes, nowMs)
  }
}

while (!paths.isStopped) {
  const dueInMs = (heap[0]?.dueMs ?? Number.POSITIVE_INFINITY) - performance.now() - WAKE_MS
  timeout.writeBigInt64LE(BigInt(Math.round(Math.max(0, Math.min(IDLE_MS, dueInMs)) * 1e6)), 8)
  ppoll(polls, descriptors.length, timeout, null)
  const nowMs = performance.now()
  for (const [i, descriptor] of descriptors.entries()) {
    if ((polls16[i * 4 + 3] ?? 0) === 0) continue
    readAll(i, descriptor, nowMs)
  }
  for (let first = heap[0]; first !== undefined && first.dueMs <= performance.now(); first = heap[0]) {
    // A device that takes no more has dropped the packet, as a full network card does.
    write(descriptors[first.to] ?? -1, first.packet, first.packet.length)
    pop()
  }
}
