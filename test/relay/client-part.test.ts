// What a relay thread tells of its clients: everybody, part by part, whatever happens in between, and what each has carried.

import { expect, it } from 'vitest'
import { toHex } from '#protocol/bytes.ts'
import { ClientFlag, ClientNumber, NUMBERS_PER_CLIENT, BYTES_PER_CLIENT } from '#relay/client-part.ts'
import type { ClientPart } from '#relay/client-part.ts'
import { actor, alice, bob, cathy, sibling, type Actor } from '../support/actor.ts'
import { TestRelay } from '../support/test-relay.ts'

const DATA = Buffer.alloc(1_000, 7)

/** All parts of the first thread. */
function told(relay: TestRelay, between: (calls: number) => void = () => undefined): readonly ClientPart[] {
  const parts: ClientPart[] = []
  for (let before = Infinity; before > 0;) {
    const part = relay.thread(0).relay.clientsBefore(before, 1_000_000)
    parts.push(part)
    before = part.next
    between(parts.length)
  }
  return parts
}

function keysOf(parts: readonly ClientPart[]): readonly string[] {
  return parts.flatMap(({ bytes, count }) =>
    Array.from({ length: count }, (_, row) =>
      toHex(bytes.subarray(row * BYTES_PER_CLIENT, row * BYTES_PER_CLIENT + 32)),
    ),
  )
}

function numberOf(parts: readonly ClientPart[], who: Actor, field: ClientNumber, nth = 0): number {
  const at = keysOf(parts).flatMap((key, row) => (key === toHex(who.key) ? [row] : []))[nth] ?? NaN
  return (parts[0] as ClientPart).numbers[at * NUMBERS_PER_CLIENT + field] ?? NaN
}

it('tells of everybody who stays, although others come and leave between the parts', () => {
  const relay = new TestRelay()
  const clients = Array.from({ length: 400 }, (_, n) => relay.join(actor(`client ${n}`)))
  // From the front, which is told of last, and from the back, which has been told of: others take their places.
  const leaving = [0, 1, 2, 3, 150, 151, 152, 300, 301, 399].map((at) => clients[at])
  const parts = told(relay, () => {
    for (const one of leaving.splice(0, 4)) one?.hangUp()
    relay.join(actor(`late ${leaving.length}`))
  })
  expect(parts.map(({ count }) => count).every((count) => count <= 128)).toBe(true)
  const keys = new Set(keysOf(parts))
  const missing = clients.filter(({ isClosed, actor: { key } }) => !isClosed && !keys.has(toHex(key)))
  expect(missing).toEqual([])
})

it('a connection that has not logged in is none of them', () => {
  const relay = new TestRelay()
  relay.connect(bob)
  relay.join(alice)
  expect(keysOf(told(relay))).toEqual([toHex(alice.key)])
})

it('tells what each client has carried, what waits for it and what it did not get', () => {
  const relay = new TestRelay({ limits: { outboxBytesMax: 5_000 } })
  const [a, b] = [relay.join(alice), relay.join(bob)]
  for (let n = 0; n < 3; n++) a.sendPacket(bob, DATA)
  relay.settle()
  b.link.isStalled = true
  for (let n = 0; n < 9; n++) {
    a.sendPacket(bob, DATA)
    relay.settle()
  }
  const parts = told(relay)
  const of = (who: Actor, field: ClientNumber): number => numberOf(parts, who, field)
  expect(of(alice, ClientNumber.receivedPackets)).toBe(12)
  expect(of(alice, ClientNumber.receivedBytes)).toBe(12_000)
  expect(of(alice, ClientNumber.senders)).toBe(0)
  // One burst is in flight, four frames of 1,037 bytes have room, and the others were dropped.
  expect(of(bob, ClientNumber.sentPackets)).toBe(4)
  expect(of(bob, ClientNumber.sentBytes)).toBe(4_000)
  expect(of(bob, ClientNumber.queuedPackets)).toBe(4)
  expect(of(bob, ClientNumber.queuedBytes)).toBe(4 * 1_037)
  expect(of(bob, ClientNumber.dropped)).toBe(4)
  expect(of(bob, ClientNumber.senders)).toBe(1)
  expect(of(alice, ClientNumber.wireReceivedBytes)).toBeGreaterThan(12_000)
  expect(of(bob, ClientNumber.wireSentBytes)).toBeGreaterThan(4_000)
})

it('a sender that has left still counts as one, and one more of the same name again', () => {
  const relay = new TestRelay()
  relay.join(bob)
  const a = relay.join(alice).sendPacket(bob, DATA)
  relay.settle()
  a.hangUp()
  expect(numberOf(told(relay), bob, ClientNumber.senders)).toBe(1)
  relay.join(cathy).sendPacket(bob, DATA)
  relay.settle()
  expect(numberOf(told(relay), bob, ClientNumber.senders)).toBe(2)
})

it('says what a client is: home, prober, not on its ideal node, sibling, one of several, the one that receives', () => {
  const relay = new TestRelay()
  relay.connect(alice, { idealNode: '900b' }).logIn({ isProber: true, version: 3, appName: 'tailcat' })
  const first = relay.join(bob)
  relay.join(bob)
  relay.joinSibling(sibling)
  const parts = told(relay)
  const flags = (who: Actor, nth = 0): number => numberOf(parts, who, ClientNumber.flags, nth)
  expect(flags(alice)).toBe(
    ClientFlag.prober | ClientFlag.notIdeal | ClientFlag.fastStart | ClientFlag.active,
  )
  expect(numberOf(parts, alice, ClientNumber.version)).toBe(3)
  expect([...(parts[0]?.appNames ?? [])]).toEqual([[0, 'tailcat']])
  expect([flags(bob), flags(bob, 1)].map((all) => all & (ClientFlag.active | ClientFlag.duplicate))).toEqual([
    ClientFlag.duplicate,
    ClientFlag.duplicate | ClientFlag.active,
  ])
  expect(flags(sibling) & ClientFlag.sibling).toBe(ClientFlag.sibling)
  expect(keysOf(parts).every((_, row) => (flags(bob) & ClientFlag.unlisted) === 0 && row < 4)).toBe(true)
  first.send(Buffer.from([7, 0, 0, 0, 1, 1])).settled()
  const later = told(relay)
  expect(numberOf(later, bob, ClientNumber.flags)).toBe(
    ClientFlag.home | ClientFlag.duplicate | ClientFlag.fastStart | ClientFlag.active,
  )
})
