import { expect, it } from 'vitest'
import { standingIn, type FleetRelay, type Self, type Standing } from '#fleet/fleet-position.ts'

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

function seenFrom(
  hostname: string,
  more: Partial<Self> = {},
): Standing & { inside: Record<string, boolean> } {
  const standing = standingIn(regions, {
    hostname,
    node: undefined,
    region: undefined,
    hasDirectory: false,
    ...more,
  })
  return {
    ...standing,
    inside: Object.fromEntries(standing.members.map(({ name, isInside }) => [name, isInside])),
  }
}

it('a relay is a sibling of all others, and inside where a region is shared', () => {
  const { name, regions: own, inside } = seenFrom('FRA1.lab')
  expect([name, [...own]]).toEqual(['fra1.lab', [900]])
  expect(inside).toEqual({
    'fra2.lab': true,
    'nyc1.lab': false,
    'nyc2.lab': true,
    'nyc2.lab:8443': false,
    'sgp1.lab': false,
  })
})

it('a standby is of the region that it stands by for and of its own, whichever comes first', () => {
  const { name, regions: own, inside } = seenFrom('nyc2.lab', { node: 'nyc2-443' })
  expect([name, [...own]]).toEqual(['nyc2.lab', [900, 901]])
  expect(inside).toEqual({
    'fra1.lab': true,
    'fra2.lab': true,
    'nyc1.lab': true,
    'nyc2.lab:8443': true,
    'sgp1.lab': false,
  })
})

it('a relay that may be one of several finds itself when it meets itself', () => {
  const { name, regions: own, members } = seenFrom('nyc2.lab')
  expect([name, [...own]]).toEqual([undefined, [900, 901]])
  expect(members.map((member) => member.name)).toContain('nyc2.lab')
})

it('a relay that the file does not know is of the region that it is told, or of none', () => {
  expect(new Set(Object.values(seenFrom('lon1.lab').inside))).toEqual(new Set([false]))
  expect(seenFrom('lon1.lab', { region: 902 }).inside).toMatchObject({ 'sgp1.lab': true, 'fra1.lab': false })
})

it('a sibling has all the names that clients know it by', () => {
  const standby = [
    { id: 900, nodes: [relay('fra1.lab'), { ...relay('nyc1.lab'), name: '900s' }] },
    { id: 901, nodes: [{ ...relay('nyc1.lab'), name: '901a' }] },
  ]
  const self = { hostname: 'fra1.lab', node: undefined, region: undefined, hasDirectory: true }
  const [member] = standingIn(standby, self).members
  expect(standingIn(standby, { ...self, hostname: 'nyc1.lab' })).toMatchObject({
    regions: new Set([900, 901]),
    nodes: ['900s', '901a'],
  })
  expect(standingIn(standby, { ...self, hostname: 'unknown.lab' }).nodes).toEqual([])
  expect(member).toMatchObject({ name: 'nyc1.lab', nodes: ['900s', '901a'], isInside: true, isWatched: true })
})

it('relays behind one host name that leads to the nearest are told apart by where siblings dial them', () => {
  const site = { ...relay('derp.lab'), name: '901', meshHost: '10.0.0.1' }
  const sites = [site, { ...site, name: '902', meshHost: '10.0.0.2' }]
  const self = { hostname: 'derp.lab', node: '902', region: undefined, hasDirectory: false }
  const { name, members } = standingIn([{ id: 900, nodes: sites }], self)
  expect(name).toBe('derp.lab/10.0.0.2')
  expect(members).toEqual([
    expect.objectContaining({ host: 'derp.lab', dialHost: '10.0.0.1', isInside: true }),
  ])
})

it('with a key directory only relays of the own region are watched', () => {
  const watched = seenFrom('fra1.lab', { hasDirectory: true }).members.filter(({ isWatched }) => isWatched)
  expect(watched.map(({ name }) => name)).toEqual(['fra2.lab', 'nyc2.lab'])
})
