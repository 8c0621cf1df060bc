// Messages of bridges: what opens, and what is taken for the VPN's own.

import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { ControlChannel, looksLikeControl, type ControlMessage } from '#bridge/control-frame.ts'
import { BoxSecret } from '#protocol/box.ts'

const [alice, bob, cathy] = [newKeyPair(), newKeyPair(), newKeyPair()]

function channel(own = alice, peer = bob): ControlChannel {
  const box = new BoxSecret(own.privateKey).agree(peer.publicKey)
  if (box === undefined) throw new Error('no box')
  return new ControlChannel(own.publicKey, peer.publicKey, box)
}

const MESSAGES: readonly ControlMessage[] = [
  { kind: 'hello' },
  { kind: 'ask' },
  { kind: 'flow', flow: 4_294_967_295, isReply: true },
  { kind: 'flow', flow: 0, isReply: false },
  { kind: 'state', seen: undefined },
  { kind: 'offer', candidates: ['192.0.2.1:4000', '[2001:db8::1]:4000'], isReply: false },
  { kind: 'ping', id: 2 ** 48 - 1 },
  { kind: 'pong', id: 0 },
  { kind: 'ask-direct' },
  { kind: 'direct', silentMs: undefined },
  { kind: 'direct', silentMs: 20 },
  { kind: 'state', seen: { rx: 1, tx: 2 ** 50, way: 'relay' } },
]

test('each message reaches the other side and nobody else', () => {
  const [here, there, third] = [channel(), channel(bob, alice), channel(cathy, alice)]
  for (const message of MESSAGES) {
    const packet = here.seal(message, 1_000_000, randomBytes(24))
    expect(looksLikeControl(packet)).toBe(true)
    expect(third.open(packet, 1_000_000)).toBeUndefined()
    expect(there.open(packet, 1_000_000)).toMatchObject({ message })
  }
})

test('what was recorded is passed over, and so is another clock', () => {
  const [here, there] = [channel(), channel(bob, alice)]
  const first = here.seal({ kind: 'ask' }, 1_000_000, randomBytes(24))
  const second = here.seal({ kind: 'ask' }, 1_000_000, randomBytes(24))
  expect(there.open(second, 1_029_999)).toHaveProperty('message')
  expect(there.open(second, 1_000_000)).toEqual({ ignored: 'old' })
  expect(there.open(first, 1_000_000)).toEqual({ ignored: 'old' })
  expect(channel(bob, alice).open(first, 1_031_000)).toEqual({ ignored: 'clock' })
  expect(channel(bob, alice).open(first, 969_000)).toEqual({ ignored: 'clock' })
})

test('a changed byte makes it data of the VPN, and so does anything else', () => {
  const packet = channel().seal({ kind: 'hello' }, 1_000_000, randomBytes(24))
  for (let at = 0; at < packet.length; at++) {
    const changed = Uint8Array.from(packet)
    changed[at] = (changed[at] ?? 0) ^ 1
    expect(channel(bob, alice).open(changed, 1_000_000)).toBeUndefined()
  }
  const any = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.concat([Buffer.from('DFB1'), bytes]))
  fc.assert(fc.property(any, (bytes) => channel(bob, alice).open(bytes, 0) === undefined))
})

test('a message of a bridge of tomorrow is passed over', () => {
  const later = { kind: 'later' } as unknown as ControlMessage
  const packet = channel().seal(later, 1_000_000, randomBytes(24))
  expect(channel(bob, alice).open(packet, 1_000_000)).toEqual({ ignored: 'unknown' })
})

test('over UDP messages may overtake each other, and none is taken twice', () => {
  const options = { isUnordered: true, bytesMax: 1_472 }
  const box = new BoxSecret(bob.privateKey).agree(alice.publicKey)
  if (box === undefined) throw new Error('no box')
  const there = new ControlChannel(bob.publicKey, alice.publicKey, box, options)
  const here = channel()
  const packets = Array.from({ length: 50 }, (_, i) =>
    here.seal({ kind: 'ping', id: i }, 1_000_000 + i * 100, randomBytes(24), i % 2 === 0 ? 1_472 : 0),
  )
  expect(packets[0]).toHaveLength(1_472)
  const answers = packets.toReversed().map((packet) => there.open(packet, 1_000_000))
  expect(answers.slice(0, 20)).toEqual(
    Array.from({ length: 20 }, (_, i) => expect.objectContaining({ message: { kind: 'ping', id: 49 - i } })),
  )
  expect(answers.slice(20)).toEqual(Array.from({ length: 30 }, () => ({ ignored: 'old' })))
  expect(packets.map((packet) => there.open(packet, 1_000_000))).toEqual(
    Array.from({ length: 50 }, () => ({ ignored: 'old' })),
  )
})

test('an offer has sixteen short addresses at most', () => {
  const candidates = [...Array.from({ length: 30 }, (_, i) => `${i}`), 'x'.repeat(65)]
  const packet = channel().seal({ kind: 'offer', candidates, isReply: true }, 1_000_000, randomBytes(24))
  const opened = channel(bob, alice).open(packet, 1_000_000)
  expect(opened).toMatchObject({ message: { kind: 'offer', candidates: candidates.slice(0, 16) } })
})
