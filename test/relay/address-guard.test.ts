// How often one address may connect and log in, and who is never hurt by that.

import { expect, it } from 'vitest'
import { parseNetwork } from '#protocol/ip-network.ts'
import { ipToBytes } from '#protocol/ip-address.ts'
import { NO_ADDRESS_RULES, type AddressRules } from '#protocol/relay-limits.ts'
import { AddressGuard } from '#relay/address-guard.ts'
import { Counters } from '#relay/counters.ts'
import { alice, bob, sibling } from '../support/actor.ts'
import { TestRelay } from '../support/test-relay.ts'

const RULES: AddressRules = { ...NO_ADDRESS_RULES, connectionsPerSecond: 1, banMs: 600_000 }
/** What may come at once at one per second; so many more are refused before an address is banned. */
const BURST = 60

class Guarded {
  nowMs = 0
  readonly counters = new Counters()
  readonly bans: [reason: string, forMs: number][] = []
  readonly guard: AddressGuard

  constructor(rules: Partial<AddressRules> = {}) {
    this.guard = new AddressGuard(
      { ...RULES, ...rules },
      {
        counters: this.counters,
        now: () => this.nowMs,
        onBan: (_ip, reason, forMs) => this.bans.push([reason, forMs]),
      },
    )
  }

  /** How many of so many connections at once are accepted. */
  accepted(count: number, ip = '192.0.2.1'): number {
    let accepted = 0
    for (let n = 0; n < count; n++) if (this.guard.mayConnect(() => ipToBytes(ip))) accepted++
    return accepted
  }
}

it('an address has its rate and a minute of it at once; others are not concerned', () => {
  const guarded = new Guarded()
  expect(guarded.accepted(BURST + 10)).toBe(BURST)
  expect(guarded.accepted(5, '192.0.2.2')).toBe(5)
  guarded.nowMs += 5_000
  expect(guarded.accepted(10)).toBe(5)
  expect(guarded.counters.get('addressRefusedConnections')).toBe(15)
})

it('an address that goes on is refused for a while, and then not any more', () => {
  const guarded = new Guarded()
  guarded.accepted(2 * BURST + 1)
  expect(guarded.bans).toEqual([['connections', 600_000]])
  guarded.nowMs += 599_000
  expect(guarded.accepted(3)).toBe(0)
  expect(guarded.counters.get('addressRefusedBanned')).toBe(3)
  guarded.nowMs += 2_000
  expect(guarded.accepted(3)).toBe(3)
  expect(guarded.counters.get('addressBansConnections')).toBe(1)
})

it('tells how many addresses are refused now', () => {
  const guarded = new Guarded()
  guarded.guard.ban(ipToBytes('192.0.2.1'), 1_000)
  guarded.guard.ban(ipToBytes('192.0.2.2'), 2_000)
  guarded.accepted(2 * BURST + 1, '192.0.2.3')
  expect(guarded.guard.countBanned()).toBe(3)
  guarded.nowMs += 1_000
  expect(guarded.guard.countBanned()).toBe(2)
  guarded.guard.exempt(ipToBytes('192.0.2.2'))
  expect(guarded.guard.countBanned()).toBe(1)
  // It is forgotten before its time.
  for (let n = 0; n < 16_384; n++) guarded.accepted(1, `10.${n >> 8}.${n & 255}.1`)
  expect(guarded.guard.countBanned()).toBe(0)
  guarded.guard.ban(ipToBytes('192.0.2.1'), 1_000)
  guarded.guard.setRules({ ...RULES, banMs: 5 })
  expect(guarded.guard.countBanned()).toBe(0)
})

it('an address a little over its rate is never banned', () => {
  const guarded = new Guarded()
  for (let second = 0; second < 1_000; second++) {
    guarded.nowMs += 1_000
    guarded.accepted(2)
  }
  expect(guarded.bans).toEqual([])
})

it('the addresses of a /64 are one, those of an IPv4 network are not', () => {
  const guarded = new Guarded()
  expect(guarded.accepted(40, '2001:db8::1') + guarded.accepted(40, '2001:db8::ffff:1')).toBe(BURST)
  expect(guarded.accepted(40, '2001:db8:0:1::1')).toBe(40)
  expect(guarded.accepted(40, '192.0.2.1') + guarded.accepted(40, '192.0.2.2')).toBe(80)
})

it('exempt networks and addresses of siblings are not limited', () => {
  const office = parseNetwork('198.51.100.0/24')
  if (office === undefined) throw new Error('it is one')
  const guarded = new Guarded({ exempt: [office] })
  expect(guarded.accepted(500, '198.51.100.7')).toBe(500)
  guarded.accepted(500, '192.0.2.1')
  guarded.guard.exempt(ipToBytes('192.0.2.1'))
  expect(guarded.accepted(500, '192.0.2.1')).toBe(500)
  guarded.guard.setRules({ ...RULES, connectionsPerSecond: 2 })
  expect(guarded.accepted(500, '192.0.2.1')).toBe(500)
})

it('a ban of another thread counts here; new rules end it', () => {
  const guarded = new Guarded()
  guarded.guard.ban(ipToBytes('192.0.2.1'), 1_000)
  expect(guarded.accepted(1)).toBe(0)
  guarded.guard.setRules({ ...RULES })
  expect(guarded.accepted(1)).toBe(0)
  guarded.guard.setRules({ ...RULES, banMs: 5 })
  expect(guarded.accepted(1)).toBe(1)
})

it('from any number of addresses, those that are known are bounded, and the quiet ones are forgotten first', () => {
  const guarded = new Guarded()
  guarded.accepted(BURST)
  for (let n = 0; n < 16_384; n++) {
    guarded.accepted(1, `10.${n >> 8}.${n & 255}.1`)
    if (n === 10_000) guarded.accepted(1)
  }
  // It was asked for later than the first ten thousand.
  expect(guarded.accepted(1)).toBe(0)
  for (let n = 0; n < 16_384; n++) guarded.accepted(1, `11.${n >> 8}.${n & 255}.1`)
  expect(guarded.accepted(BURST)).toBe(BURST)
})

it('logins are counted apart from connections; who is here stays', () => {
  const addresses: AddressRules = { ...RULES, connectionsPerSecond: Infinity, loginsPerSecond: 0.1 }
  const relay = new TestRelay({ limits: { addresses } })
  const s = relay.joinSibling(sibling, { ip: '192.0.2.9' })
  const a = relay.join(alice)
  // Twenty in any case, and as many refusals before the ban.
  for (let n = 0; n < 41; n++) relay.connect(bob).logIn()
  expect(relay.lastEnd).toBe('address_rate')
  expect(relay.count('addressRefusedLogins')).toBe(21)
  expect(relay.bans).toEqual([{ reason: 'logins', forMs: 600_000 }])
  relay.pass(2_000)
  expect(relay.count('addressesBanned')).toBe(1)
  for (let n = 0; n < 50; n++) relay.connect(bob, { ip: '192.0.2.9' }).logIn()
  expect(relay.count('addressRefusedLogins')).toBe(21)
  expect([a.isClosed, s.isClosed]).toEqual([false, false])
})
