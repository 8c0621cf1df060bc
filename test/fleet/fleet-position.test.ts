import { expect, it } from 'vitest'
import { fleetPosition, type FleetPosition, type OwnRelay } from '#fleet/fleet-position.ts'
import type { Node } from '#fleet/node.ts'
import type { Region } from '#fleet/region.ts'

const node = (hostname: string, derpPort = 443): Node => ({
  name: `${hostname.slice(0, 4)}-${derpPort}`,
  hostname,
  derpPort,
})

const region = (id: number, ...nodes: Node[]): Region => ({ id, code: `r${id}`, name: `r${id}`, nodes })

const regions = [
  region(900, node('fra1.lab'), node('fra2.lab'), node('nyc2.lab')),
  region(901, node('nyc1.lab'), node('nyc2.lab'), node('nyc2.lab', 8_443)),
  region(902, node('sgp1.lab')),
]

function seenFrom(
  hostname: string,
  more: Partial<OwnRelay> = {},
): FleetPosition & { inside: Record<string, boolean> } {
  const position = fleetPosition(regions, {
    hostname,
    node: undefined,
    region: undefined,
    hasDirectory: false,
    ...more,
  })
  return {
    ...position,
    inside: Object.fromEntries(position.siblings.map(({ name, isInside }) => [name, isInside])),
  }
}

it('every other relay is a sibling, and inside if it shares a region', () => {
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

it('a standby belongs to its own region and to the region it stands by for', () => {
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

it('a relay that may be one of several nodes has no name and is among its own siblings', () => {
  const { name, regions: own, siblings } = seenFrom('nyc2.lab')
  expect([name, [...own]]).toEqual([undefined, [900, 901]])
  expect(siblings.map((sibling) => sibling.name)).toContain('nyc2.lab')
})

it('a relay that is not in the file belongs to the region of its options, or to none', () => {
  expect(new Set(Object.values(seenFrom('lon1.lab').inside))).toEqual(new Set([false]))
  expect(seenFrom('lon1.lab', { region: 902 }).inside).toMatchObject({ 'sgp1.lab': true, 'fra1.lab': false })
})

it('a sibling has all its names as a node of the DERP map', () => {
  const standby = [
    region(900, node('fra1.lab'), { ...node('nyc1.lab'), name: '900s' }),
    region(901, { ...node('nyc1.lab'), name: '901a' }),
  ]
  const own = { hostname: 'fra1.lab', node: undefined, region: undefined, hasDirectory: true }
  const [sibling] = fleetPosition(standby, own).siblings
  expect(fleetPosition(standby, { ...own, hostname: 'nyc1.lab' })).toMatchObject({
    regions: new Set([900, 901]),
    nodes: ['900s', '901a'],
  })
  expect(fleetPosition(standby, { ...own, hostname: 'unknown.lab' }).nodes).toEqual([])
  expect(sibling).toMatchObject({
    name: 'nyc1.lab',
    nodes: ['900s', '901a'],
    isInside: true,
    isWatched: true,
  })
})

it('relays that share a host name differ by their mesh host', () => {
  const site = { ...node('derp.lab'), name: '901', meshHost: '10.0.0.1' }
  const sites = [site, { ...site, name: '902', meshHost: '10.0.0.2' }]
  const own = { hostname: 'derp.lab', node: '902', region: undefined, hasDirectory: false }
  const { name, siblings } = fleetPosition([region(900, ...sites)], own)
  expect(name).toBe('derp.lab/10.0.0.2')
  expect(siblings).toEqual([
    expect.objectContaining({ host: 'derp.lab', dialHost: '10.0.0.1', isInside: true }),
  ])
})

it('with a key directory, only siblings of the own region are watched', () => {
  const watched = seenFrom('fra1.lab', { hasDirectory: true }).siblings.filter(({ isWatched }) => isWatched)
  expect(watched.map(({ name }) => name)).toEqual(['fra2.lab', 'nyc2.lab'])
})
