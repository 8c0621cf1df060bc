import { expect, it } from 'vitest'
import { ipToBytes } from '#protocol/ip-address.ts'
import { NO_ADDRESS_RULES } from '#protocol/relay-limits.ts'
import { AddressGuard } from '#relay/address-guard.ts'
import { ConnectionGate } from '#relay/connection-gate.ts'
import { Counters } from '#relay/counters.ts'

it('without memory only siblings may connect, and others are counted', () => {
  const counters = new Counters()
  const addresses = new AddressGuard(NO_ADDRESS_RULES, { counters, now: () => 0, onBan: () => undefined })
  addresses.exempt(ipToBytes('192.0.2.9'))
  let isMemoryShort = false
  const gate = new ConnectionGate({ addresses, counters, isMemoryShort: () => isMemoryShort })
  const may = (): readonly boolean[] =>
    ['192.0.2.9', '192.0.2.1'].map((ip) => gate.mayConnect(() => ipToBytes(ip)))
  expect(may()).toEqual([true, true])
  isMemoryShort = true
  expect(may()).toEqual([true, false])
  isMemoryShort = false
  expect(may()).toEqual([true, true])
  expect(counters.get('connectionsOutOfMemory')).toBe(1)
})
