// Compares the vectors with the labels of which their "random" values are hashes, so that a wrong digit fails here and not
// in a test of the code.

import { expect, it } from 'vitest'
import { admissionRequest, admissionSource } from './admission.ts'
import { disco } from './frames.ts'
import { sha256 } from './hex.ts'
import { clientA, keyVectors, meshKey, meshKeyLabel } from './keys.ts'
import { clientInfos, serverInfo } from './login.ts'
import { metaCertificate, seedLabel } from './meta-certificate.ts'
import { transactionId, transactionIdLabel } from './stun.ts'

const hexOf = (label: string, end = 32): string => sha256(label).toString('hex', 0, end)

it.each(Object.entries(keyVectors))(
  'the private key of %s is the clamped hash of its label',
  (_name, key) => {
    const hash = sha256(key.label)
    hash.writeUInt8(hash.readUInt8(0) & 0xf8, 0)
    hash.writeUInt8((hash.readUInt8(31) & 0x7f) | 0x40, 31)
    expect(key.privateKey.toString('hex')).toBe(hash.toString('hex'))
  },
)

it.each([...Object.entries(clientInfos), ['serverInfo', serverInfo] as const])(
  'the nonce of %s is its label hashed, and stands in the frame',
  (name, { nonce, nonceLabel, frame }) => {
    expect(nonce.toString('hex')).toBe(hexOf(nonceLabel, 24))
    const nonceAt = name === 'serverInfo' ? 5 : 5 + 32
    expect(frame.toString('hex', nonceAt, nonceAt + 24)).toBe(hexOf(nonceLabel, 24))
  },
)

it('mesh key, transaction id, signing seed and disco message are hashes of their labels', () => {
  expect(meshKey.toString('hex')).toBe(hexOf(meshKeyLabel))
  expect(transactionId.toString('hex')).toBe(hexOf(transactionIdLabel, 12))
  expect(metaCertificate.seed.toString('hex')).toBe(hexOf(seedLabel))
  const message = `5453f09f92ac${hexOf(disco.keyLabel)}${hexOf(disco.nonceLabel, 24)}`
  expect(disco.message.toString('hex')).toBe(message)
})

it('the meta certificate has its published hash and contains its parts', () => {
  const { der, sha256: published, signed, signature } = metaCertificate
  expect(sha256(der).toString('hex')).toBe(published)
  expect(der.length).toBe(359)
  expect(der.subarray(4, 4 + signed.length)).toEqual(signed)
  expect(der.subarray(-signature.length)).toEqual(signature)
})

it('the admission request is about clientA', () => {
  expect(JSON.parse(admissionRequest)).toEqual({
    NodePublic: `nodekey:${clientA.publicKey.toString('hex')}`,
    Source: admissionSource,
  })
})
