// What a packet costs from the bytes of a readable socket to the bytes given to a socket, without either: session,
// frame reader, lookup, rewriting in place, outbox, flush, write. One relay thread; clients that have logged in by a
// real handshake. The rest of a relay's cost is sockets, TLS and the event loop.
//
//   one flow                44 packets of one pair arrive in one chunk and leave as one burst
//   pairs, one packet each  a turn of the loop with little in it: each packet has a chunk and a burst of its own
//   changing destination    every packet goes to another key, so every one is looked up

import { expect, test } from 'vitest'
import { sendPacketFrame } from '#protocol/frames.ts'
import { actor } from '../../test/support/actor.ts'
import { measure, perOperation } from './per-operation.ts'
import { SocketlessRelay, type Client } from './socketless-relay.ts'

/** The start of a disco message, before its sender's key. */
const DISCO_MAGIC = Buffer.from('TS💬')
const DISCO_BYTES = 100

/** The bytes of one sender that are read in each turn. */
interface Chunk {
  readonly sender: Client
  readonly template: Buffer
  readonly bytes: Buffer
}

function chunkOf(sender: Client, receivers: readonly Client[], packet: Uint8Array): Chunk {
  const frames = receivers.map((receiver) => sendPacketFrame(receiver.actor.key, packet))
  const template = Buffer.concat(frames)
  return { sender, template, bytes: Buffer.from(template) }
}

/** A turn of the loop in which every chunk is read once. */
function turning(relay: SocketlessRelay, chunks: readonly Chunk[]): [number, () => void, () => void] {
  const work = (): void => {
    for (const { sender, bytes } of chunks) sender.listener.receive(bytes, 0, bytes.length)
    relay.endTurn()
  }
  // A packet is rewritten where it lies.
  const prepare = (): void => {
    for (const { template, bytes } of chunks) template.copy(bytes)
  }
  const packets = (): number => relay.counters.get('sentData') + relay.counters.get('sentDisco')
  const before = packets()
  prepare()
  work()
  return [packets() - before, work, prepare]
}

function pairs(count: number): { relay: SocketlessRelay; of: readonly (readonly [Client, Client])[] } {
  const relay = new SocketlessRelay()
  const names = Array.from({ length: count }, (_, index) => [`sender ${index}`, `receiver ${index}`] as const)
  return { relay, of: names.map(([from, to]) => [relay.join(actor(from)), relay.join(actor(to))] as const) }
}

/** Each pair sends `packets` in one chunk in each turn. */
function flows(count: number, packets: number, packet: Uint8Array): [number, () => void, () => void] {
  const { relay, of } = pairs(count)
  const chunks = of.map(([from, to]) =>
    chunkOf(
      from,
      Array.from({ length: packets }, () => to),
      packet,
    ),
  )
  const turn = turning(relay, chunks)
  expect(turn[0]).toBe(count * packets)
  return turn
}

/** One sender whose packets go to `count` receivers in rotation. */
function fan(count: number, packet: Uint8Array): [number, () => void, () => void] {
  const { relay, of } = pairs(count)
  const receivers = of.map(([, receiver]) => receiver)
  const turn = turning(
    relay,
    of.slice(0, 1).map(([from]) => chunkOf(from, receivers, packet)),
  )
  expect(turn[0]).toBe(count)
  return turn
}

test('forwarding', async ({ bench }) => {
  const [large, small, disco] = [new Uint8Array(1_420), new Uint8Array(128), new Uint8Array(DISCO_BYTES)]
  disco.set(DISCO_MAGIC)
  await measure(
    bench('1,420 B, one flow, 44 in a chunk', perOperation(...flows(1, 44, large))),
    bench('1,420 B, 10 flows, 44 in a chunk', perOperation(...flows(10, 44, large))),
    bench('1,420 B, 10 flows, 11 in a chunk (a full record)', perOperation(...flows(10, 11, large))),
    bench('1,420 B, 10 pairs, one packet each', perOperation(...flows(10, 1, large))),
    bench('1,420 B, 100 pairs, one packet each', perOperation(...flows(100, 1, large))),
    bench('1,420 B, 1,000 pairs, one packet each', perOperation(...flows(1_000, 1, large))),
    bench('128 B, 10 flows, 16 in a chunk', perOperation(...flows(10, 16, small))),
    bench('128 B, 100 pairs, one packet each', perOperation(...flows(100, 1, small))),
    bench('disco, 100 pairs, one packet each', perOperation(...flows(100, 1, disco))),
    bench('1,420 B, changing destination, 44 of them', perOperation(...fan(44, large))),
  )
})
