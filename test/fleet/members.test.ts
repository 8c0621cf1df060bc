import { expect, it } from 'vitest'
import { membersOf, regionsOf, type FleetRelay } from '#fleet/members.ts'

const relay = (hostname: string, port = 443): FleetRelay => ({
  name: `${hostname.slice(0, 4)}-${port}`,
  hostname,
  port,
  meshHost: undefined,
  certName: undefined,
})

const regions = [
  { id: 900, nodes: [relay('fra1.lab'), relay('fra2.lab'), relay('nyc2.lab')] },
  { id: 901, nodes: [relay('nyc1.lab'), relay('nyc2.lab'), relay('nyc2.lab', 8_443)] },
  { id: 902, nodes: [relay('sgp1.lab')] },
]

function seenFrom(hostname: string, port = 443): Record<string, boolean> {
  const own = regionsOf(regions, hostname)
  return Object.fromEntries(
    membersOf(regions, own, { hostname, port, hasDirectory: false }).map(({ name, isInside }) => [name, isInside]),
  )
}

it('a relay is a sibling of all others, and inside where a region is shared', () => {
  expect([...regionsOf(regions, 'FRA1.lab')]).toEqual([900])
  expect(seenFrom('FRA1.lab')).toEqual({
    'fra2.lab': true,
    'nyc1.lab': false,
    'nyc2.lab': true,
    'nyc2.lab:8443': false,
    'sgp1.lab': false,
  })
})

it('a standby is of the region that it stands by for and of its own, whichever comes first', () => {
  expect([...regionsOf(regions, 'nyc2.lab')]).toEqual([900, 901])
  expect(seenFrom('nyc2.lab')).toEqual({
    'fra1.lab': true,
    'fra2.lab': true,
    'nyc1.lab': true,
    'nyc2.lab:8443': true,
    'sgp1.lab': false,
  })
})

it('a relay that the file does not know is of no region, and everybody is outside', () => {
  expect(regionsOf(regions, 'lon1.lab').size).toBe(0)
  expect(Object.values(seenFrom('lon1.lab'))).toEqual([false, false, false, false, false, false])
})

it('a sibling has all the names that clients know it by', () => {
  const standby = [
    { id: 900, nodes: [relay('fra1.lab'), { ...relay('nyc1.lab'), name: '900s' }] },
    { id: 901, nodes: [{ ...relay('nyc1.lab'), name: '901a' }] },
  ]
  const [member] = membersOf(standby, new Set([900]), { hostname: 'fra1.lab', port: 443, hasDirectory: true })
  expect(member).toMatchObject({ name: 'nyc1.lab', nodes: ['900s', '901a'], isInside: true, isWatched: true })
})

it('with a key directory only relays of the own region are watched', () => {
  const own = regionsOf(regions, 'fra1.lab')
  const members = membersOf(regions, own, { hostname: 'fra1.lab', port: 443, hasDirectory: true })
  expect(members.filter(({ isWatched }) => isWatched).map(({ name }) => name)).toEqual(['fra2.lab', 'nyc2.lab'])
})
