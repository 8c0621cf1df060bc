import { randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { mac1Of } from '#lane/macs.ts'
import { INITIATION_BYTES, INITIATION_MAC1_AT } from '#lane/messages.ts'
import { MemoryLane, MemoryPeer, transport } from '../support/memory-lane.ts'

let lane: MemoryLane
let alice: MemoryPeer
let bob: MemoryPeer
let cathy: MemoryPeer

beforeEach(() => {
  lane = new MemoryLane()
  alice = new MemoryPeer(lane, '203.0.113.1', 1_001)
  bob = new MemoryPeer(lane, '203.0.113.2', 1_002)
  cathy = new MemoryPeer(lane, '198.51.100.3', 1_003)
  lane.useRoster(`${alice.text} alice\n${bob.text} bob alice\n${cathy.text} cathy\n`)
})

/** Both ends of a session between alice (index 11) and bob (index 22). */
function meet(): void {
  alice.register()
  bob.register()
  alice.send(alice.initiation(bob.key.publicKey, 11))
  bob.send(response(22, 11))
  lane.take()
}

function response(sender: number, receiver: number): Buffer {
  const message = randomBytes(92)
  message.writeUInt32LE(2, 0)
  message.writeUInt32LE(sender, 4)
  message.writeUInt32LE(receiver, 8)
  return message
}

const here = (): number => lane.lane.membersHere.length

describe('registration', () => {
  it('takes a whole handshake: nothing that was sent before places anybody', () => {
    alice.send(alice.initiation())
    expect(lane.take().map(({ message, host, port }) => [message.length, host, port])).toEqual([
      [92, '203.0.113.1', 1_001],
    ])
    expect(here()).toBe(0)
    alice.register()
    expect(here()).toBe(1)
    expect(lane.homes).toEqual([`${Buffer.from(alice.key.publicKey).toString('hex', 0, 4)} true`])
  })

  it('answers nobody who is not in the roster', () => {
    const stranger = new MemoryPeer(lane, '192.0.2.9', 9)
    stranger.send(stranger.initiation())
    expect(lane.take()).toEqual([])
    expect(lane.count('handshakesUnknownKey')).toBe(1)
  })

  it('answers no initiation twice, nor an older one', () => {
    const [older, newer] = [alice.initiation(), alice.initiation()]
    alice.send(newer)
    expect(lane.take()).toHaveLength(1)
    alice.send(newer)
    alice.send(older)
    expect(lane.take()).toEqual([])
    expect(lane.count('handshakesReplayed')).toBe(2)
  })

  it('a keepalive of no session, changed or repeated, is not a proof', () => {
    alice.register()
    const sign = alice.keepalive()
    alice.send(sign)
    lane.pass(60_000)
    const provenAtMs = (): number => lane.lane.membersHere[0]?.provenAtMs ?? 0
    const before = provenAtMs()
    alice.send(sign)
    const changed = alice.keepalive()
    changed.writeUInt8(changed.readUInt8(31) ^ 1, 31)
    alice.send(changed)
    expect(provenAtMs()).toBe(before)
    alice.send(alice.keepalive())
    expect(provenAtMs()).toBe(lane.nowMs)
  })

  it('a member that is silent is asked, and is not here any more if it does not answer', () => {
    alice.register()
    lane.take()
    lane.pass(82_000)
    expect(lane.take().map(({ message }) => message.readUInt32LE())).toEqual([1])
    lane.pass(100_000)
    expect(here()).toBe(0)
    expect(lane.homes.at(-1)).toMatch(/false$/)
    lane.take()
    bob.register()
    lane.take()
    lane.pass(82_000)
    const [probe] = lane.take()
    expect(probe && bob.answer(probe.message)).toBe(true)
    lane.pass(100_000)
    expect(here()).toBe(1)
  })
})

describe('between members', () => {
  it('handshakes go along links, and packets by the index that their receiver chose', () => {
    alice.register()
    bob.register()
    cathy.register()
    lane.take()
    alice.send(alice.initiation(bob.key.publicKey, 11))
    expect(lane.take()).toMatchObject([{ host: '203.0.113.2', port: 1_002 }])
    bob.send(response(22, 11))
    expect(lane.take()).toMatchObject([{ host: '203.0.113.1' }])
    alice.send(transport(22))
    bob.send(transport(11))
    expect(lane.take().map(({ host }) => host)).toEqual(['203.0.113.2', '203.0.113.1'])
    // Cathy is linked with nobody, and knows the index.
    cathy.send(transport(22))
    cathy.send(cathy.initiation(bob.key.publicKey, 33))
    expect(lane.take()).toEqual([])
    expect([lane.count('dropUnknownIndex'), lane.count('dropNoLink')]).toEqual([1, 1])
  })

  it('two members may choose one index', () => {
    lane.useRoster(`${alice.text} alice\n${bob.text} bob alice\n${cathy.text} cathy alice\n`)
    for (const peer of [alice, bob, cathy]) peer.register()
    lane.take()
    bob.send(bob.initiation(alice.key.publicKey, 5))
    cathy.send(cathy.initiation(alice.key.publicKey, 5))
    alice.send(response(6, 5))
    alice.send(response(7, 5))
    lane.take()
    bob.send(transport(6))
    expect(lane.take()).toMatchObject([{ host: '203.0.113.1' }])
  })

  it('a roster without the link ends what is under way', () => {
    meet()
    lane.useRoster(`${alice.text} alice\n${bob.text} bob\n`)
    alice.send(transport(22))
    alice.send(alice.initiation(bob.key.publicKey, 12))
    expect(lane.take()).toEqual([])
    expect(here()).toBe(2)
    lane.useRoster(`${bob.text} bob\n`)
    expect(here()).toBe(1)
    alice.send(alice.initiation())
    expect(lane.take()).toEqual([])
  })

  it('a member cannot fill more than its links have room for', () => {
    alice.register()
    bob.register()
    for (let index = 0; index < 200; index++) {
      lane.pass(1_000)
      alice.send(alice.initiation(bob.key.publicKey, 1_000 + index))
    }
    lane.lane.sweep()
    expect(lane.counters.read().routes).toBeLessThanOrEqual(24)
  })
})

describe('a member that moves', () => {
  it('is asked at its new address, and moved when it has answered from there', () => {
    meet()
    alice.port = 2_001
    alice.send(transport(22))
    const [probe, forwarded] = lane.take()
    expect(probe).toMatchObject({ host: '203.0.113.1', port: 2_001 })
    expect(forwarded).toMatchObject({ host: '203.0.113.2' })
    bob.send(transport(11))
    expect(lane.take()).toMatchObject([{ port: 1_001 }])
    expect(probe && alice.answer(probe.message)).toBe(true)
    lane.take()
    bob.send(transport(11))
    expect(lane.take()).toMatchObject([{ port: 2_001 }])
    expect(lane.count('moves')).toBe(1)
  })

  it('is not moved by who has seen a packet, nor by a keepalive that was held back', () => {
    meet()
    const attacker = new MemoryPeer(lane, '192.0.2.66', 66)
    const held = alice.keepalive()
    attacker.send(held)
    for (let n = 0; n < 20; n++) attacker.send(transport(22))
    const sent = lane.take().filter(({ host }) => host === '192.0.2.66')
    // Three probes, and one more for each second from then on.
    expect(sent).toHaveLength(3)
    attacker.answer(sent[0]?.message ?? Buffer.alloc(0))
    bob.send(transport(11))
    expect(lane.take()).toMatchObject([{ host: '203.0.113.1', port: 1_001 }])
    expect(lane.count('moves')).toBe(0)
  })

  it('answers from another address than the one that was asked prove nothing', () => {
    meet()
    alice.port = 2_001
    alice.send(transport(22))
    const [probe] = lane.take()
    alice.port = 3_001
    alice.answer(probe?.message ?? Buffer.alloc(0))
    bob.send(transport(11))
    expect(lane.take()).toMatchObject([{ port: 1_001 }])
  })
})

describe('strangers', () => {
  it('get no byte for noise, for members’ MACs, and for indexes that nobody has', () => {
    meet()
    for (let n = 0; n < 500; n++) {
      const initiation = randomBytes(INITIATION_BYTES)
      initiation.writeUInt32LE(1, 0)
      const toBob = Buffer.from(initiation)
      toBob.set(mac1Of(bob.key.publicKey).of(toBob.subarray(0, INITIATION_MAC1_AT)), INITIATION_MAC1_AT)
      for (const message of [initiation, toBob, transport(1_000 + n), randomBytes(n), response(n, n + 5_000)])
        lane.lane.receive(message, `192.0.2.${n % 250}`, n + 1)
    }
    expect(lane.take()).toEqual([])
  })

  /** Of who knows the lane’s key. */
  function junk(): Buffer {
    const message = randomBytes(INITIATION_BYTES)
    message.writeUInt32LE(1, 0)
    message.set(mac1Of(lane.own.publicKey).of(message.subarray(0, INITIATION_MAC1_AT)), INITIATION_MAC1_AT)
    return message
  }

  it('with the lane’s key, a flood from one port gets no byte, and keeps no neighbour waiting behind the same address', () => {
    for (let n = 0; n < 3_000; n++) lane.lane.receive(junk(), '192.0.2.9', 7)
    expect(lane.take()).toEqual([])
    expect(lane.count('handshakesInvalid')).toBeLessThanOrEqual(5)
    const neighbour = new MemoryPeer(lane, '192.0.2.9', 8)
    lane.useRoster(`${alice.text} alice\n${neighbour.text} neighbour\n`)
    neighbour.register()
    alice.register()
    expect(here()).toBe(2)
  })

  it.each([
    ['from many ports of one address', (n: number) => ['192.0.2.9', 1_000 + n] as const, 100],
    ['from many addresses of a network', (n: number) => [`192.0.2.${n % 250}`, 7 + n] as const, 300],
  ])(
    'with the lane’s key, %s: they are asked for a cookie; a neighbour that shows it is served, and others at once',
    (_, from, invalidMax) => {
      for (let n = 0; n < 3_000; n++) lane.lane.receive(junk(), ...from(n))
      const replies = lane.take()
      expect(replies.every(({ message }) => message.length === 64 && message[0] === 3)).toBe(true)
      expect(lane.count('handshakesInvalid')).toBeLessThanOrEqual(invalidMax)
      const neighbour = new MemoryPeer(lane, '192.0.2.9', 8)
      lane.useRoster(`${alice.text} alice\n${neighbour.text} neighbour\n`)
      neighbour.send(neighbour.initiation())
      const [cookie] = lane.take()
      expect(cookie && neighbour.takeCookie(cookie.message)).toBe(true)
      neighbour.register()
      alice.register()
      expect(here()).toBe(2)
    },
  )

  it('from everywhere, they are asked for a cookie, with fewer bytes than they sent, and whoever shows it is served', () => {
    for (let n = 0; n < 3_000; n++) lane.lane.receive(junk(), `10.${n >> 8}.${n & 255}.1`, 7)
    const replies = lane.take()
    expect(replies.length).toBeGreaterThan(0)
    expect(replies.every(({ message }) => message.length === 64 && message[0] === 3)).toBe(true)
    alice.send(alice.initiation())
    const [cookie] = lane.take()
    expect(cookie && alice.takeCookie(cookie.message)).toBe(true)
    alice.send(alice.initiation())
    const [answer] = lane.take()
    expect(answer && alice.read(answer.message)).toBe(true)
    alice.send(alice.keepalive())
    expect(here()).toBe(1)
  })
})

describe('a kick', () => {
  it('takes a member off the lane, and keeps it out for its time, also if the roster gets it anew', () => {
    meet()
    const older = alice.keepalive()
    lane.lane.refuse(alice.key.publicKey, 60_000)
    expect(here()).toBe(1)
    const roster = `${alice.text} alice\n${bob.text} bob alice\n`
    const comes = (): number => {
      alice.send(older)
      alice.send(transport(22))
      alice.send(alice.initiation())
      return lane.take().length
    }
    expect(comes()).toBe(0)
    lane.useRoster(`${bob.text} bob\n`)
    lane.useRoster(roster)
    expect(comes()).toBe(0)
    expect(lane.count('handshakesRefused')).toBe(2)
    lane.pass(60_000)
    bob.register()
    alice.register()
    expect(here()).toBe(2)
    lane.lane.refuse(alice.key.publicKey, 60_000)
    lane.lane.refuse(alice.key.publicKey, 0)
    alice.register()
    expect(here()).toBe(2)
  })
})

describe('a restart', () => {
  it('knows where members are, their sessions, and which initiations were seen; and asks them at once', () => {
    meet()
    const seen = alice.initiation()
    alice.send(seen)
    const text = lane.lane.stateText()
    const next = new MemoryLane(lane.own)
    next.wallAheadMs = lane.wallMs + 2_000 - next.nowMs
    next.useRoster(`${alice.text} alice\n${bob.text} bob alice\n`)
    next.lane.restore(text)
    next.lane.receive(transport(22), alice.host, alice.port)
    expect(next.take()).toMatchObject([{ host: bob.host, port: bob.port }])
    next.pass(1_000)
    expect(next.take().map(({ host, message }) => [host, message.readUInt32LE()])).toEqual([
      [alice.host, 1],
      [bob.host, 1],
    ])
    next.lane.receive(seen, alice.host, alice.port)
    expect(next.take()).toEqual([])
    expect(next.count('handshakesReplayed')).toBe(1)
  })

  it('with what another lane, a damaged disk or a day ago has left begins anew', () => {
    meet()
    const text = lane.lane.stateText()
    const started = (state: string, laterMs = 0, own = lane.own): number => {
      const next = new MemoryLane(own)
      next.wallAheadMs = lane.wallMs + laterMs - next.nowMs
      next.useRoster(`${alice.text} alice\n${bob.text} bob alice\n`)
      next.lane.restore(state)
      return next.lane.membersHere.length
    }
    expect(started(text)).toBe(2)
    expect(started(text, 86_400_000)).toBe(0)
    expect(started('')).toBe(0)
    expect(started(text.slice(0, 100))).toBe(0)
    expect(started(text.replaceAll('203.0.113.1', 'example.com'))).toBe(1)
    expect(started(text, 0, new MemoryLane().own)).toBe(0)
  })
})
