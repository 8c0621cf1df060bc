import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey, generateKeyPairSync, verify } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { mapDocument, mapKeyProblem } from '#fleet/map-document.ts'
import type { Region } from '#fleet/region.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'

const FLEET: readonly Region[] = [
  { id: 900, code: 'fra', name: 'Frankfurt é', nodes: [{ name: '900a', hostname: 'a.example' }] },
]

function newKey(type: 'ed25519' | 'ed448' = 'ed25519'): string {
  const { privateKey } = type === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ed448')
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

test.each(['json', 'headscale', 'policy'] as const)(
  'for %s, equal regions and keys make equal documents',
  (format) => {
    const key = createPrivateKey(newKey())
    const one = mapDocument(format, FLEET, key)
    expect(mapDocument(format, structuredClone(FLEET), key)).toEqual(one)
    expect(one.version).toMatch(/^[0-9a-f]{16}$/)
    expect(mapKeyProblem(newKey())).toBeUndefined()
    expect(one.etag).toBe(`"${one.version}"`)
    const renamed = FLEET.map((region) => Object.assign({}, region, { name: 'x' }))
    expect(mapDocument(format, renamed).version).not.toBe(one.version)
    expect(mapDocument(format, FLEET).signature).toBeUndefined()
    const publicKey = createPublicKey(key)
    const signature = Buffer.from(one.signature ?? '', 'base64')
    expect(verify(null, Buffer.from(one.text), publicKey, signature)).toBe(true)
    expect(verify(null, Buffer.from(`${one.text} `), publicKey, signature)).toBe(false)
  },
)

test('OpenSSL verifies the signature', () => {
  using folder = new TemporaryFolder()
  const key = createPrivateKey(newKey())
  const { text, signature = '' } = mapDocument('json', FLEET, key)
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'pem' })
  writeFileSync(folder.at('map.pub'), publicKey)
  writeFileSync(folder.at('derpmap.json'), text)
  writeFileSync(folder.at('derpmap.json.sig'), Buffer.from(signature, 'base64'))
  const files = [
    '-inkey',
    folder.at('map.pub'),
    '-in',
    folder.at('derpmap.json'),
    '-sigfile',
    folder.at('derpmap.json.sig'),
  ]
  expect(
    execFileSync('openssl', ['pkeyutl', '-verify', '-rawin', '-pubin', ...files], { encoding: 'utf8' }),
  ).toMatch(/verified successfully/i)
})

test.each([
  ['a key of another type', newKey('ed448'), /type ed448/],
  ['no key', 'privkey:00', /no key that can be read/],
  ['nothing', '', /no key that can be read/],
])('refuses %s', (_case, text, problem) => {
  expect(mapKeyProblem(text)).toMatch(problem)
})
