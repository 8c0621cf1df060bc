// What `derpfleet top` shows when a relay refuses to answer.

import { expect, it } from 'vitest'
import { screenOf } from '#cli/top.ts'

it('says why a relay refuses, and not that it is not ready', () => {
  const refused = { status: 401, body: { error: 'the token is wrong' } }
  expect(screenOf(refused, 'name', 24)).toBe('the token is wrong\n')
})
