import { expect, it } from 'vitest'
import type { OwnRelay } from '#fleet/fleet-position.ts'
import type { Node } from '#fleet/node.ts'
import { positionProblem } from '#fleet/position-check.ts'
import type { Region } from '#fleet/region.ts'

const node = (name: string, hostname: string, meshHost?: string): Node => ({ name, hostname, meshHost })
const region = (id: number, ...nodes: Node[]): Region => ({ id, code: `r${id}`, name: `r${id}`, nodes })

const regions = [
  region(900, node('900a', 'fra1.lab'), node('900s', 'nyc1.lab')),
  region(
    901,
    node('901a', 'nyc1.lab'),
    node('901b', 'any.lab', '10.0.0.1'),
    node('901c', 'any.lab', '10.0.0.2'),
  ),
]

function problemWith(options: Partial<OwnRelay>): string | undefined {
  const own = { hostname: 'fra1.lab', node: undefined, region: undefined, hasDirectory: false, ...options }
  const problem = positionProblem('r.yaml', regions, own)
  return problem && `${problem.found}; expected ${problem.expected}`
}

it.each([
  ['a relay in the file', {}],
  ['its host name in upper case', { hostname: 'FRA1.lab' }],
  ['its name as a node', { hostname: 'other.lab', node: '901b' }],
  ['its region', { region: 900 }],
  ['one of the regions of a standby', { hostname: 'nyc1.lab', region: 900 }],
  ['a relay that is not in the file, in one of its regions', { hostname: 'other.lab', region: 901 }],
  [
    'one of several by its name, with a key directory',
    { hostname: 'any.lab', node: '901b', hasDirectory: true },
  ],
  ['a standby, with a key directory', { hostname: 'nyc1.lab', hasDirectory: true }],
])('options and file agree: %s', (_title, options) => {
  expect(problemWith(options)).toBeUndefined()
})

it.each([
  [
    'a host name that is not in the file',
    { hostname: 'other.lab' },
    'r.yaml has no relay with the hostname "other.lab"; expected an entry for this relay, or its region by -region',
  ],
  [
    'a name that is not in the file',
    { node: '902a' },
    'r.yaml has no relay with the name "902a"; expected an entry for this relay, or its region by -region',
  ],
  [
    'a region that is not in the file',
    { region: 905 },
    'r.yaml has no region 905 (-region); expected one of 900, 901',
  ],
  [
    'neither region nor host name in the file',
    { hostname: 'other.lab', region: 905 },
    'r.yaml has no region 905 (-region); expected one of 900, 901',
  ],
  [
    'another region than in the file',
    { region: 901 },
    'r.yaml has the relay with the hostname "fra1.lab" in region 900, but -region is 901; expected the same region in both, or no -region',
  ],
  [
    'several relays, with a key directory',
    { hostname: 'any.lab', hasDirectory: true },
    'r.yaml has several relays with the hostname "any.lab"; expected exactly one, because a key directory needs its name; select it by -node',
  ],
  [
    'no relay, with a key directory',
    { hostname: 'other.lab', region: 900, hasDirectory: true },
    'r.yaml has no relay with the hostname "other.lab"; expected exactly one, because a key directory needs its name; select it by -node',
  ],
])('options and file disagree: %s', (_title, options, problem) => {
  expect(problemWith(options)).toBe(problem)
})
