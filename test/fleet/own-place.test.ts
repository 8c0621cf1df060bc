import { expect, it } from 'vitest'
import { placeProblem, type OwnWords } from '#fleet/own-place.ts'
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
    'r.yaml has no relay whose hostname is "other.lab"; expected this relay to be in it, or -region to say where it is',
  ],
  [
    'a name that it has not',
    { node: '902a' },
    'r.yaml has no relay whose name is "902a"; expected this relay to be in it, or -region to say where it is',
  ],
  [
    'a region that it has not',
    { region: 905 },
    'r.yaml has no region 905, as -region says; expected one of 900, 901',
  ],
  [
    'a region that it has not, and a host name neither',
    { hostname: 'other.lab', region: 905 },
    'r.yaml has no region 905, as -region says; expected one of 900, 901',
  ],
  [
    'another region than it says',
    { region: 901 },
    'r.yaml has the relay whose hostname is "fra1.lab" in region 900, and -region says 901; expected one of them to be changed, or no -region',
  ],
  [
    'several for a directory',
    { hostname: 'any.lab', hasDirectory: true },
    'r.yaml has several relays whose hostname is "any.lab"; expected one, which a key directory can name; -node says which it is',
  ],
  [
    'none for a directory',
    { hostname: 'other.lab', region: 900, hasDirectory: true },
    'r.yaml has no relay whose hostname is "other.lab"; expected one, which a key directory can name; -node says which it is',
  ],
])('%s is a contradiction', (_what, words, problem) => {
  expect(judged(words)).toBe(problem)
})
