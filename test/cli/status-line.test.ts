// Words of a relay that are no words of a relay.

import { expect, it } from 'vitest'
import { levelCode } from '#cli/status-line.ts'
import { topText } from '#cli/top-table.ts'

it('ends with the code of a relay that is down, whatever else a relay says', () => {
  expect(['ok', 'degraded', 'down'].map((level) => levelCode({ level }))).toEqual([0, 1, 2])
  for (const level of ['constructor', '__proto__', 'toString', '']) expect(levelCode({ level })).toBe(2)
  expect(levelCode(undefined)).toBe(2)
})

it('shows such words as they are', () => {
  const body = JSON.parse('{"level":"constructor","state":"constructor"}') as Parameters<typeof topText>[0]
  expect(topText(body, { sort: 'name', hasColour: true })).toMatch(/Not ready, constructor/)
  expect(topText(body, { sort: 'name', hasColour: true })).not.toContain('native code')
})
