import { expect, it } from 'vitest'
import { placeProblem, type OwnWords } from '#fleet/position-check.ts'
import type { FleetNode, FleetRegion } from '#fleet/regions-file.ts'

const node = (name: string, hostname: string, meshHost?: string): FleetNode => ({
  name,
  hostname,
  port: 443,
  meshHost,
  certName: undefined,
})
const region = (id: number, ...nodes: FleetNode[]): FleetRegion => ({
  id,
  code: `r${id}`,
  name: `r${id}`,
  nodes,
})

const regions = [
  region(900, node('900a', 'fra1.lab'), node('900s', 'nyc1.lab')),
  region(
    901,
    node('901a', 'nyc1.lab'),
    node('901b', 'any.lab', '10.0.0.1'),
    node('901c', 'any.lab', '10.0.0.2'),
  ),
]

function judged(words: Partial<OwnWords>): string | undefined {
  const all = { hostname: 'fra1.lab', node: undefined, region: undefined, hasDirectory: false, ...words }
  const problem = placeProblem('r.yaml', regions, all)
  return problem && `${problem.found}; expected ${problem.expected}`
}

it.each([
  ['a relay that it has', {}],
  ['its host name in other letters', { hostname: 'FRA1.lab' }],
  ['its name', { hostname: 'other.lab', node: '901b' }],
  ['the region that it has it in', { region: 900 }],
  ['one of the regions of a standby', { hostname: 'nyc1.lab', region: 900 }],
  ['a relay that it has not, in one of its regions', { hostname: 'other.lab', region: 901 }],
  ['one of several by its name, for a directory', { hostname: 'any.lab', node: '901b', hasDirectory: true }],
  ['a standby, for a directory', { hostname: 'nyc1.lab', hasDirectory: true }],
])('the file may have %s', (_what, words) => {
  expect(judged(words)).toBeUndefined()
})

it.each([
  [
    'a host name that it has not',
    { hostname: 'other.lab' },
    'r.yaml has no relay with the hostname "other.lab"; expected an entry for this relay, or its region by -region',
  ],
  [
    'a name that it has not',
    { node: '902a' },
    'r.yaml has no relay with the name "902a"; expected an entry for this relay, or its region by -region',
  ],
  [
    'a region that it has not',
    { region: 905 },
    'r.yaml has no region 905 (-region); expected one of 900, 901',
  ],
  [
    'a region that it has not, and a host name neither',
    { hostname: 'other.lab', region: 905 },
    'r.yaml has no region 905 (-region); expected one of 900, 901',
  ],
  [
    'another region than it says',
    { region: 901 },
    'r.yaml has the relay with the hostname "fra1.lab" in region 900, but -region is 901; expected the same region in both, or no -region',
  ],
  [
    'several for a directory',
    { hostname: 'any.lab', hasDirectory: true },
    'r.yaml has several relays with the hostname "any.lab"; expected exactly one, because a key directory needs its name; select it by -node',
  ],
  [
    'none for a directory',
    { hostname: 'other.lab', region: 900, hasDirectory: true },
    'r.yaml has no relay with the hostname "other.lab"; expected exactly one, because a key directory needs its name; select it by -node',
  ],
])('%s is a contradiction', (_what, words, problem) => {
  expect(judged(words)).toBe(problem)
})
