// The matrix of links from what relays tell: one entry for each pair and direction, under names that this relay knows.

import { describe, expect, it } from 'vitest'
import { latencyMatrix } from '#fleet/latency-matrix.ts'
import type { LinkState } from '#fleet/relay-state.ts'

type Relay = Parameters<typeof latencyMatrix>[0][number]

function relay(name: string, links: readonly LinkState[], changes: Partial<Relay> = {}): Relay {
  return { name, state: 'up', last: { name: name.split('/')[0] ?? '', links }, ...changes }
}

function to(name: string, rttMedianMs = 10): LinkState {
  return { to: name, isUp: true, rttMedianMs }
}

function pairs(relays: readonly Relay[]): readonly string[] {
  return latencyMatrix(relays).links.map((link) => `${link.from} > ${link.to} ${link.rttMedianMs}`)
}

describe('the matrix', () => {
  it('has both directions of a pair, each as its beginning has measured it', () => {
    expect(pairs([relay('a', [to('b', 10)]), relay('b', [to('a', 11)])])).toEqual(['a > b 10', 'b > a 11'])
  })

  it('has a column and no row for a relay that tells nothing, and no row of one that is down', () => {
    const all = [relay('a', [to('b'), to('c')]), relay('b', [to('a')], { state: 'down' })]
    const matrix = latencyMatrix([...all, relay('c', [], { last: undefined })])
    expect(matrix.relays).toEqual(['a', 'b', 'c'])
    expect(matrix.links.map(({ from }) => from)).toEqual(['a', 'a'])
  })

  it('knows a relay by its host name, unless two have the same', () => {
    const all = [relay('x.lab/10.0.0.1', [to('y.lab')]), relay('y.lab/10.0.0.2', [to('x.lab')])]
    expect(pairs(all)).toEqual(['x.lab/10.0.0.1 > y.lab/10.0.0.2 10', 'y.lab/10.0.0.2 > x.lab/10.0.0.1 10'])
    expect(pairs([...all, relay('x.lab/10.0.0.3', [])])).toEqual(['x.lab/10.0.0.1 > y.lab/10.0.0.2 10'])
  })

  it('passes over links to relays that nobody knows, to itself and told twice', () => {
    expect(pairs([relay('a', [to('?'), to('a'), to('b', 1), to('b', 2)]), relay('b', [])])).toEqual([
      'a > b 1',
    ])
  })

  it('is bounded, however many relays there are', () => {
    const names = Array.from({ length: 300 }, (_, at) => `relay${at}`)
    const { relays, links } = latencyMatrix(
      names.map((name) =>
        relay(
          name,
          names.map((other) => to(other)),
        ),
      ),
    )
    expect(relays).toHaveLength(100)
    expect(links).toHaveLength(9_900)
  })
})
