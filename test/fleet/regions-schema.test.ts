// The published JSON Schema, read by a validator, and the reader of the file: what the one accepts, the other does, too,
// but for what a schema cannot say.

import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { fileContents } from './fleet-arbitraries.ts'

const root = new URL('../../', import.meta.url)
const schema = z.fromJSONSchema(JSON.parse(readFileSync(new URL('regions.schema.json', root), 'utf8')))

/** As an editor has it: parsed YAML. */
function isAccepted(text: string): boolean {
  return schema.safeParse(parse(text)).success
}

it('accepts the example and any other valid file', () => {
  expect(isAccepted(readFileSync(new URL('regions.yaml', root), 'utf8'))).toBe(true)
  fc.assert(
    fc.property(fileContents, (contents) => {
      const text = stringify({ regions: Object.fromEntries(contents.map(({ id, region }) => [id, region])) })
      expect([isAccepted(text), readRegionsFile('r.yaml', text)]).toEqual([
        true,
        expect.objectContaining({ regions: expect.anything() as unknown }),
      ])
    }),
  )
})

const NODE = 'nodes: [{ name: a, hostname: h }]'

it.each([
  `regions: { 900: { code: a, stat: off, ${NODE} } }`,
  `regions: { 900: { code: a, state: down, ${NODE} } }`,
  `regions: { 900: { code: a, preferWithinMs: 1.5, ${NODE} } }`,
  `regions: { 900: { code: a, preferWithinMs: 1001, ${NODE} } }`,
  `regions: { 900: { code: a, latitude: 91, ${NODE} } }`,
  `regions: { 900: { code: "a b", ${NODE} } }`,
  `regions: { 900: { code: a, name: "a\\tb", ${NODE} } }`,
  `regions: { nyc: { code: a, ${NODE} } }`,
  'regions: { 900: { code: a, nodes: [] } }',
  'regions: { 900: { code: a } }',
  'regions: { 900: { code: a, nodes: [{ name: a }] } }',
  'regions: { 900: { code: a, nodes: [{ name: a, hostname: h, derpport: 0 }] } }',
  'regions: { 900: { code: a, nodes: [{ name: a, hostname: h, pin: abc }] } }',
  'regions: { 900: { code: a, nodes: [{ name: a, hostname: h, standby: yes }] } }',
  'region: {}',
  '[]',
])('refuses, as the reader does, %s', (text) => {
  expect([isAccepted(text), readRegionsFile('r.yaml', text)]).toEqual([
    false,
    expect.objectContaining({ problems: expect.anything() as unknown }),
  ])
})
