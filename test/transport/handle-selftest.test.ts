// The self-test of the runtime's handles passes on the Node that the tests run on. If it failed in production, relays would only
// be slower, and nobody would notice.

import { expect, it, vi } from 'vitest'
import { selfTestContexts, testedHandles } from '#transport/handle-selftest.ts'
import { TlsContexts } from '#transport/tls-contexts.ts'

it('handles pass their self-test without TLS', async () => {
  expect((await testedHandles(undefined)).wrapTls).toBeTypeOf('function')
})

it.each(['TLSv1.2', 'TLSv1.3'] as const)('handles pass their self-test with %s', async (maxVersion) => {
  expect((await testedHandles(selfTestContexts(maxVersion))).wrapTls).toBeTypeOf('function')
})

it('a self-test that fails gives the reason', async () => {
  const withoutCertificate = new TlsContexts('TLSv1.3')
  await expect(testedHandles(withoutCertificate)).rejects.toThrow()
})

it.each(['23.11.1', '26.10.0'])('handles of Node %s, which are not known, are not used', async (node) => {
  vi.spyOn(process, 'versions', 'get').mockReturnValue({ ...process.versions, node })
  await expect(testedHandles(undefined)).rejects.toThrow(
    `the internals of Node ${node} are not known; those of Node 22 and 24 are`,
  )
})
