// The runtime that the tests run on has the handles that the relay knows: a trial that fails here would only make
// relays slower, and nobody would notice.

import { expect, it } from 'vitest'
import { testedHandles } from '#transport/handle-selftest.ts'
import { goodPair } from '../config/certificates.ts'

it('handles pass their trial without TLS', async () => {
  expect((await testedHandles(undefined)).wrapTls).toBeTypeOf('function')
})

it.each(['TLSv1.2', 'TLSv1.3'] as const)('handles pass their trial with %s', async (maxVersion) => {
  const { certificate: cert, key } = goodPair('localhost')
  expect((await testedHandles({ cert, key, maxVersion })).wrapTls).toBeTypeOf('function')
})

it('a trial that fails says why', async () => {
  const identity = { cert: 'none', key: 'none' }
  await expect(testedHandles(identity)).rejects.toThrow()
})
