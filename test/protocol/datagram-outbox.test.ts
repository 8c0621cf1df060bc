// Many datagrams in one call, at a model of the kernel that divides: whatever is sent arrives whole, once and in order.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { DatagramOutbox } from '#protocol/datagram-outbox.ts'

interface Arrival {
  readonly to: string
  readonly packet: Uint8Array
}

/** Short, with all that matters: each packet is full of one number. */
function described({ to, packet }: Arrival): string {
  const [fill = 0] = packet
  return `${to} ${packet.length} ${packet.every((byte) => byte === fill) ? fill : 'mixed'}`
}

class Kernel {
  readonly arrivals: Arrival[] = []
  calls = 0
  lost = 0
  nowMs = 0
  divided = 0
  /** The interface cannot divide. */
  refusesDivided = false
  /** It has not taken what was sent before. */
  isFull = false
  readonly outbox: DatagramOutbox
  #ends: (() => void)[] = []

  constructor() {
    this.outbox = new DatagramOutbox({
      socket: {
        send: (packets, port, host, onSent) => this.#send(packets, host, port, onSent),
        getSendQueueCount: () => (this.isFull ? 1 : 0),
      },
      divider: {
        setDatagramBytes: (bytes) => {
          this.divided = bytes
          return true
        },
      },
      unsentMax: 1_000,
      later: (callback) => void this.#ends.push(callback),
      now: () => this.nowMs,
      onFull: () => this.lost++,
      onError: () => expect.unreachable(),
    })
  }

  endTurn(): void {
    for (const end of this.#ends.splice(0)) end()
  }

  #send(
    packets: readonly Uint8Array[],
    host: string,
    port: number,
    onSent: (error: Error | null) => void,
  ): void {
    this.calls++
    const bytes = Buffer.concat([...packets])
    expect(bytes.length).toBeLessThanOrEqual(65_507)
    // A single packet with a division in force would not be fragmented.
    if (packets.length === 1) expect(this.divided).toBe(0)
    const isDivided = this.divided > 0 && bytes.length > this.divided
    if (isDivided && this.refusesDivided) {
      expect(packets.length).toBeGreaterThan(1)
      return onSent(new Error('EINVAL'))
    }
    const length = isDivided ? this.divided : bytes.length
    expect(bytes.length).toBeLessThanOrEqual(64 * length)
    for (let at = 0; at === 0 || at < bytes.length; at += Math.max(1, length))
      this.arrivals.push({ to: `${host}:${port}`, packet: bytes.subarray(at, at + length) })
    onSent(null)
  }
}

const lengths = fc.oneof(
  fc.constantFrom(0, 96, 1_452),
  fc.integer({ min: 1, max: 1_500 }),
  fc.constant(30_000),
)
const steps = fc.array(
  fc.record({
    length: lengths,
    times: fc.integer({ min: 1, max: 70 }),
    port: fc.integer({ min: 1, max: 2 }),
    endsTurn: fc.boolean(),
    isFull: fc.boolean(),
    refusesDivided: fc.boolean(),
  }),
  { maxLength: 6 },
)

type Step = typeof steps extends fc.Arbitrary<(infer One)[]> ? One : never

function run(kernel: Kernel, all: readonly Step[]): Arrival[] {
  const sent: Arrival[] = []
  for (const { length, times, port, endsTurn } of all) {
    for (let time = 0; time < times; time++) {
      const packet = Buffer.alloc(length, sent.length)
      sent.push({ to: `host:${port}`, packet })
      kernel.outbox.send(packet, 'host', port)
    }
    if (endsTurn) kernel.endTurn()
  }
  kernel.endTurn()
  return sent
}

it('keeps packets as they are, whatever their lengths and ports', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const kernel = new Kernel()
      const sent = run(kernel, all)
      expect(kernel.arrivals.map(described)).toEqual(sent.map(described))
      expect(kernel.lost).toBe(0)
    }),
  )
})

it('sends each packet on its own for a minute where the interface cannot divide, and loses none', () => {
  const kernel = new Kernel()
  kernel.refusesDivided = true
  const once = [{ length: 100, times: 10, port: 1, endsTurn: true, isFull: false, refusesDivided: false }]
  const sent = run(kernel, once)
  expect(kernel.arrivals.map(described)).toEqual(sent.map(described))
  expect(kernel.calls).toBe(11)
  run(kernel, once)
  expect(kernel.calls).toBe(21)
  kernel.nowMs += 60_000
  kernel.refusesDivided = false
  run(kernel, once)
  expect(kernel.calls).toBe(22)
  expect(kernel.arrivals.length).toBe(30)
})

it('never sends a piece of a packet, or two as one, while the kernel cannot be told how to divide', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const kernel = new Kernel()
      const sent: Arrival[] = []
      for (const step of all) {
        kernel.isFull = step.isFull
        kernel.refusesDivided = step.refusesDivided
        sent.push(...run(kernel, [step]))
      }
      expect(kernel.arrivals.length).toBe(sent.length - kernel.lost)
      const packets = new Set(sent.map(described))
      expect(kernel.arrivals.filter((arrival) => !packets.has(described(arrival)))).toEqual([])
    }),
  )
})

it('makes one call of a row of packets, the last of which is shorter', () => {
  const kernel = new Kernel()
  for (let at = 0; at < 40; at++) kernel.outbox.send(new Uint8Array(1_452), 'host', 1)
  kernel.outbox.send(new Uint8Array(300), 'host', 1)
  kernel.endTurn()
  expect(kernel.calls).toBe(1)
  expect(kernel.arrivals.length).toBe(41)
})

it('takes no more than may wait for the kernel, and tells of each that it refuses and of each error', () => {
  const sent: ((error: Error | null) => void)[] = []
  const told: string[] = []
  const outbox = new DatagramOutbox({
    socket: { send: (_packets, _port, _host, onSent) => void sent.push(onSent), getSendQueueCount: () => 0 },
    divider: undefined,
    unsentMax: 3,
    later: () => expect.unreachable(),
    now: () => 0,
    onFull: () => told.push('full'),
    onError: () => told.push('error'),
  })
  for (let at = 0; at < 5; at++) outbox.send(new Uint8Array(10), 'host', 1)
  expect([sent.length, ...told]).toEqual([3, 'full', 'full'])
  sent[0]?.(null)
  sent[1]?.(new Error('EPERM'))
  for (let at = 0; at < 3; at++) outbox.send(new Uint8Array(10), 'host', 1)
  expect([sent.length, ...told]).toEqual([5, 'full', 'full', 'error', 'full'])
})
