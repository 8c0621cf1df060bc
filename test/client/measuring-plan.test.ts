import { describe, expect, test } from 'vitest'
import { fullPlan, isMeasuredByHttps } from '#client/measuring-plan.ts'
import type { MapNode, MapRegion } from '#client/relay-map.ts'

const BOTH = { 4: true, 6: true }

function region(id: number, nodes: readonly Partial<MapNode>[], more: Partial<MapRegion> = {}): MapRegion {
  const named = nodes.map((node, i) => ({
    name: `${id}${'abcd'[i]}`,
    hostname: `${id}-${i}.example`,
    ...node,
  }))
  return { id, code: `r${id}`, nodes: named, ...more }
}

/** Each set as `v4: 1a+0 1b+100 1a+200`. */
function planText(regions: readonly MapRegion[], host = BOTH): readonly string[] {
  return fullPlan(regions, host).map((set) => {
    const probes = set.map(({ node, delayMs }) => `${node.name}+${delayMs}`)
    return `v${set[0].family}: ${probes.join(' ')}`
  })
}

describe('a full plan', () => {
  test.each([
    [1, '1a+0 1a+100 1a+200'],
    [2, '1a+0 1b+100 1a+200'],
    [3, '1a+0 1b+100 1c+200'],
    [4, '1a+0 1b+100 1c+200'],
  ])('asks the nodes of a region of %d in turn', (count, probes) => {
    const nodes = Array.from({ length: count }, () => ({}))
    expect(planText([region(1, nodes)])).toEqual([`v4: ${probes}`, `v6: ${probes}`])
  })

  test('leaves out what cannot answer', () => {
    expect(
      planText([
        region(1, [{ ipv6: 'none' }, { ipv4: 'none' }]),
        region(2, [{}], { state: 'draining' }),
        region(3, []),
        region(4, [{ ipv4: 'none', ipv6: 'none' }]),
      ]),
    ).toEqual(['v4: 1a+0 1a+200', 'v6: 1b+100'])
  })

  test('measures a region to avoid, and one without STUN, whose time then passes', () => {
    expect(planText([region(1, [{ ipv6: 'none', stunPort: -1 }], { isAvoid: true })])).toHaveLength(1)
  })

  test('uses the families of this host, but for nodes for tests', () => {
    const regions = [region(1, [{}]), region(2, [{ ipv4: '127.0.0.1', ipv6: 'none' }])]
    expect(planText(regions, { 4: false, 6: true })).toEqual([
      'v6: 1a+0 1a+100 1a+200',
      'v4: 2a+0 2a+100 2a+200',
    ])
    expect(planText(regions, { 4: false, 6: false })).toEqual(['v4: 2a+0 2a+100 2a+200'])
  })
})

test('HTTPS measures regions with a relay that are neither drained nor to be avoided', () => {
  const regions = [
    region(1, [{ stunPort: -1 }]),
    region(2, [{}], { isAvoid: true }),
    region(3, [{}], { state: 'draining' }),
    region(4, [{ isStunOnly: true }]),
    region(5, [{ isStunOnly: true }, {}]),
  ]
  expect(regions.filter(isMeasuredByHttps).map(({ id }) => id)).toEqual([1, 5])
})
