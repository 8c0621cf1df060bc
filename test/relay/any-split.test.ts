// TCP may cut a stream anywhere, and that must not matter. A recorded stream of a login and two hundred frames is fed
// whole, byte by byte and in random pieces; each time all clients must receive the same bytes, and all counters be the
// same.

import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesEqual } from '#protocol/bytes.ts'
import type { FrameType } from '#protocol/frame-type.ts'
import { forwardPacketFrame, notePreferredFrame, pingFrame, sendPacketFrame } from '#protocol/frames.ts'
import { clientInfoFrame, frame } from '#protocol/handshake.ts'
import { Counter, type PlainCounter } from '#relay/counters.ts'
import type { Admission } from '#relay/ports.ts'
import { bytesFrom, cutStream, singleBytes, someCuts } from '../protocol/arbitraries.ts'
import { actor, bob, cathy, sibling, type Actor } from '../support/actor.ts'
import { answer, noCancel, TestRelay } from '../support/test-relay.ts'
import { disco, frames } from '../vectors/frames.ts'
import { sha256 } from '../vectors/hex.ts'
import { meshKey } from '../vectors/keys.ts'

const sender = sibling
const unknown = actor('unknown')
const nonce = sha256('any split').subarray(0, 24)

/** The n-th frame of a recording; the bytes depend on n alone. */
function frameAt(n: number, isMesh: boolean): Uint8Array {
  const random = sha256(`frame ${n}`)
  const [kind, peer, size] = [random.readUInt8(0), random.readUInt8(1), random.readUInt16BE(2)]
  const to = [bob, cathy, sender, unknown][peer % 4] as Actor
  const bytes = bytesFrom(n, n % 50 === 7 ? 65_536 : size % 1_500)
  if (kind < 110) return sendPacketFrame(to.key, bytes)
  if (kind < 150) return sendPacketFrame(to.key, Buffer.concat([disco.message, bytes.subarray(0, 60)]))
  if (kind < 170) return pingFrame(bytesFrom(n, 8 + (size % 993)))
  if (kind < 180) return notePreferredFrame(peer % 2 === 0)
  if (kind < 220 && isMesh) return forwardPacketFrame(unknown.key, to.key, bytes)
  if (kind < 225 && isMesh) return frames.watchConns
  return frame((0x20 + (peer % 64)) as FrameType, bytes)
}

interface Recording {
  readonly bytes: Buffer
  /** Where the frames begin. */
  readonly starts: readonly number[]
}

function record(frameCount: number, isMesh: boolean): Recording {
  const info = clientInfoFrame(sender.key, isMesh ? { meshKey } : {}, sender.boxWithServer, nonce)
  const parts = [info, ...Array.from({ length: frameCount }, (_, n) => frameAt(n, isMesh))]
  const starts: number[] = []
  let at = 0
  for (const part of parts) {
    starts.push(at)
    at += part.length
  }
  return { bytes: Buffer.concat(parts), starts }
}

/** What all clients received, and all counters, after the recording was fed in these pieces. */
function outcome(pieces: readonly Buffer[], waits: boolean): Record<string, unknown> {
  const decisions: ((isAllowed: boolean) => void)[] = []
  const ask: Admission['ask'] = (request, decide) => {
    if (waits && bytesEqual(request.key, sender.key)) decisions.push((isAllowed) => decide(answer(isAllowed)))
    else decide(answer(true))
    return noCancel
  }
  const relay = new TestRelay({ admission: { ask } })
  const receivers = [bob, cathy].map((peer) => relay.connect(peer).logIn())
  const client = relay.connect(sender).settled()
  client.link.hasReadAhead = true
  for (const piece of pieces) client.link.send(piece)
  decisions.forEach((decide) => decide(true))
  relay.settle()
  const received = [client, ...receivers].map((one) => Buffer.concat(one.received))
  const hashes = received.map((bytes) => sha256(bytes).toString('hex'))
  const sizes = received.map((bytes) => bytes.length)
  const counts = (Object.keys(Counter) as PlainCounter[]).map((name) => `${name} ${relay.count(name)}`)
  const lentBytes = relay.thread(0).relay.lentBytes
  return { hashes, sizes, counts, drops: relay.drops, isClosed: client.isClosed, lentBytes }
}

describe.each([
  ['a sibling', record(200, true), false],
  ['a client', record(200, false), false],
  // Input that comes before the admission is decided is kept whole, which takes a while byte by byte.
  ['a client that waits for admission', record(45, false), true],
])('%s', (_who, { bytes, starts }, waits) => {
  const whole = outcome([bytes], waits)

  it('the recording covers enough for the other tests to mean something', () => {
    expect(whole['lentBytes']).toBe(0)
    expect(whole['isClosed']).toBe(false)
    expect((whole['sizes'] as number[]).every((size) => size > 1_000)).toBe(true)
    expect(whole['drops']).toHaveProperty('unknown_dest data')
  })

  it('is served the same byte by byte', () => {
    expect(outcome(singleBytes(bytes), waits)).toEqual(whole)
  })

  it('is served the same in pieces of any one size', () => {
    for (const size of [2, 3, 5, 31, 32, 37, 1_447, 16_384, 65_536]) {
      const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
        bytes.subarray(i * size, (i + 1) * size),
      )
      expect(outcome(pieces, waits)).toEqual(whole)
    }
  })

  it('is served the same in random pieces', () => {
    fc.assert(
      fc.property(someCuts, (cuts) => {
        expect(outcome(cutStream(bytes, cuts, starts), waits)).toEqual(whole)
      }),
      { numRuns: 60 },
    )
  })
})
