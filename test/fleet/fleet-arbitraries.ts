// Any fleet's file, as text, and any state of its nodes, for property tests.

import fc from 'fast-check'
import { stringify } from 'yaml'
import { NodeState } from '#fleet/node-state.ts'
import type { Region } from '#fleet/region.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'

export interface FileContent {
  readonly id: number
  readonly region: Readonly<Record<string, unknown>>
}

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })
const host = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}\.example$/)

const node = fc.record({
  hostname: host,
  ipv4: maybe(fc.oneof(fc.constant('none'), fc.ipV4())),
  ipv6: maybe(fc.oneof(fc.constant('none'), fc.constant('2001:db8::1'))),
  derpport: maybe(fc.integer({ min: 1, max: 65_535 })),
  stunport: maybe(fc.integer({ min: -1, max: 65_535 })),
  canport80: maybe(fc.boolean()),
  pin: maybe(fc.constant('AB'.repeat(32))),
  standby: maybe(fc.boolean()),
  mesh: maybe(host),
})

/** Graphemes may be several characters. */
function isName(text: string): boolean {
  return text.length <= 100 && !/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\uFEFF\uFFFE\uFFFF]/u.test(text)
}

const region = fc.record({
  code: fc.stringMatching(/^[a-z]{3}$/),
  name: maybe(fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }).filter(isName)),
  latitude: maybe(fc.double({ min: -90, max: 90, noNaN: true })),
  longitude: maybe(fc.double({ min: -180, max: 180, noNaN: true })),
  state: maybe(fc.constantFrom('active', 'draining', 'off')),
  preferWithinMs: maybe(fc.integer({ min: 0, max: 1_000 })),
  nodes: fc.array(node, { minLength: 1, maxLength: 4 }),
})

/** The regions of a valid file: at least one is on. Names of nodes are `REGION-NUMBER`. */
export const fileContents: fc.Arbitrary<readonly FileContent[]> = fc
  .uniqueArray(fc.record({ id: fc.integer({ min: 1, max: 65_535 }), region }), {
    selector: ({ id }) => id,
    minLength: 1,
    maxLength: 5,
  })
  .filter((all) => all.some((one) => one.region.state !== 'off'))
  .map((all) =>
    all.map((one) => ({
      id: one.id,
      region: Object.assign({}, one.region, {
        nodes: one.region.nodes.map((each, at) => ({ name: `${one.id}-${at}`, ...each })),
      }),
    })),
  )

/** The regions that a relay reads from the file with its regions in this order. */
export function readBack(contents: readonly FileContent[]): readonly Region[] {
  const text = stringify({ regions: new Map(contents.map((one) => [one.id, one.region])) })
  const read = readRegionsFile('regions.yaml', text)
  if ('problems' in read) throw new Error(JSON.stringify(read.problems))
  return read.regions
}

const nodeState = fc.constantFrom(...Object.values(NodeState))

/** A state for each of the nodes. */
export function nodeStates(regions: readonly Region[]): fc.Arbitrary<ReadonlyMap<string, NodeState>> {
  const names = regions.flatMap(({ nodes }) => nodes.map(({ name }) => name))
  return fc
    .array(nodeState, { minLength: names.length, maxLength: names.length })
    .map((states) => new Map(names.map((name, at) => [name, states[at] ?? NodeState.up])))
}

export function stateIn(states: ReadonlyMap<string, NodeState>): (name: string) => NodeState {
  return (name) => states.get(name) ?? NodeState.down
}
