// The runtime that the tests run on has the handles that the relay knows: a trial that fails here would only make
// relays slower, and nobody would notice.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { certificatePem, selfSignedCertificate } from '#protocol/self-signed.ts'
import { triedHandles } from '#transport/handle-trial.ts'

const DAY_MS = 86_400_000

it('handles pass their trial without TLS', async () => {
  expect((await triedHandles(undefined)).wrapTls).toBeTypeOf('function')
})

it.each(['TLSv1.2', 'TLSv1.3'] as const)('handles pass their trial with %s', async (maxVersion) => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const life = { fromMs: Date.now() - DAY_MS, untilMs: Date.now() + DAY_MS }
  const parts = { names: ['localhost'], key: privateKey, serial: randomBytes(16), ...life }
  const cert = certificatePem(selfSignedCertificate(parts))
  const key = privateKey.export({ format: 'pem', type: 'pkcs8' })
  expect((await triedHandles({ cert, key, maxVersion })).wrapTls).toBeTypeOf('function')
})

it('a trial that fails says why', async () => {
  const identity = { cert: 'none', key: 'none' }
  await expect(triedHandles(identity)).rejects.toThrow()
})
