// Admission by URL compared with the real derper: the same backend gives the same results, with and without fail-open.
// test/admission/go-parity.test.ts compares the request itself in more detail, with Go's client alone.

import { describe, expect, test } from 'vitest'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { responses } from '../admission/backend-responses.ts'
import { RawHttpServer } from '../admission/raw-servers.ts'
import { Derper } from '../client/derper.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { checkedBy, LiveRelay, NO_MESH } from '../support/live-relay.ts'

const found = await foreignPrograms('derper-1.104.5')
const path = 'paths' in found ? found.paths['derper-1.104.5'] : undefined

async function isAdmitted(port: number): Promise<boolean> {
  const client = new DerpClient({ host: '127.0.0.1', port, tls: false, key: newKeyPair() })
  const isConnected = await client.connect().then(
    () => true,
    () => false,
  )
  await client.close()
  return isConnected
}

describe.skipIf(path === undefined)('admission gives the same results as derper', () => {
  test.each([true, false])('fail-open %s', { timeout: 120_000 }, async (failOpen) => {
    using folder = new TemporaryFolder()
    folder.write('psk', 'ab'.repeat(32))
    await using server = await new RawHttpServer(responses).listen()
    const base = `http://127.0.0.1:${server.port}`
    const urls = [
      `${base}/allow`,
      `${base}/deny`,
      `${base}/307`,
      `${base}/302`,
      `${base}/loop`,
      `${base}/500`,
      `${base}/gzip`,
      `${base}/closes`,
      base.replace('//', '//alice:p%40ss%20word@') + '/to-wants-alice',
      'http://127.0.0.1:1/verify',
    ]
    const results: Record<string, [derper: boolean, relay: boolean]> = {}
    for (const verifyUrl of urls) {
      const args = ['-verify-client-url', verifyUrl, `-verify-client-url-fail-open=${failOpen}`]
      await using derper = await Derper.start(path ?? '', folder.path, 'plain', args)
      const admission = checkedBy(verifyUrl, { verifyUrlFailOpen: failOpen })
      await using relay = await LiveRelay.start({ admission, certificate: undefined, mesh: NO_MESH })
      results[verifyUrl] = await Promise.all([isAdmitted(derper.port), isAdmitted(relay.port)])
    }
    const differing = Object.entries(results).filter(([, [derper, relay]]) => derper !== relay)
    expect(differing).toEqual([])
    const admitted = Object.values(results).filter(([derper]) => derper).length
    expect(admitted).toBe(failOpen ? 8 : 5)
  })
})
