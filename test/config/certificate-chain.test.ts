// Chains that operators joined in another order are sorted; whatever else is in the file stays.

import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { beforeAll, expect, it } from 'vitest'
import { inOrder } from '#config/certificate-chain.ts'
import type { CertificatePem } from '#protocol/certificate-pem.ts'
import { runOk } from '../support/process.ts'
import { goodPair } from './certificates.ts'
import { TemporaryFolder } from './temporary-folder.ts'

/** leaf ← intermediate ← root, PEM. */
let leaf: string, intermediate: string, root: string, key: string

beforeAll(async () => {
  using folder = new TemporaryFolder()
  const issue = async (name: string, issuer: string, isAuthority: boolean): Promise<void> => {
    const request = [
      'req',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-subj',
      `/CN=${name}`,
    ]
    await runOk('openssl', [
      ...request,
      '-keyout',
      folder.at(`${name}.key`),
      '-out',
      folder.at(`${name}.csr`),
    ])
    folder.write(`${name}.ext`, `basicConstraints=critical,CA:${isAuthority ? 'TRUE' : 'FALSE'}`)
    const signer =
      issuer === name
        ? ['-signkey', folder.at(`${name}.key`)]
        : ['-CA', folder.at(`${issuer}.crt`), '-CAkey', folder.at(`${issuer}.key`), '-CAcreateserial']
    const files = [
      '-in',
      folder.at(`${name}.csr`),
      '-out',
      folder.at(`${name}.crt`),
      '-extfile',
      folder.at(`${name}.ext`),
    ]
    await runOk('openssl', ['x509', '-req', '-days', '30', ...files, ...signer])
  }
  await issue('root', 'root', true)
  await issue('intermediate', 'root', true)
  await issue('leaf', 'intermediate', false)
  const read = (name: string): string => readFileSync(folder.at(name), 'utf8')
  ;[leaf, intermediate, root, key] = [
    read('leaf.crt'),
    read('intermediate.crt'),
    read('root.crt'),
    read('leaf.key'),
  ]
})

function names({ certificate }: CertificatePem): string[] {
  const texts = certificate.match(/-----BEGIN[^-]*-----[^-]*-----END[^-]*-----/g) ?? []
  return texts.map((text) => new X509Certificate(text).subject)
}

const SORTED = ['CN=leaf', 'CN=intermediate', 'CN=root']

it('sorts every order', () => {
  const [a, b, c] = [leaf, intermediate, root]
  for (const order of [
    [a, b, c],
    [a, c, b],
    [b, a, c],
    [b, c, a],
    [c, a, b],
    [c, b, a],
  ]) {
    expect(names(inOrder({ certificate: order.join(''), key }))).toEqual(SORTED)
  }
})

it('leaves a chain in order as it is, with its comments', () => {
  const pem = { certificate: `# the relay's own\n${leaf}\n\n# its issuer\n${intermediate}`, key }
  expect(inOrder(pem)).toBe(pem)
})

it('keeps certificates of another chain at the end', () => {
  const other = goodPair('other.example').certificate
  const sorted = inOrder({ certificate: other + intermediate + leaf, key })
  expect(names(sorted)).toEqual(['CN=leaf', 'CN=intermediate', 'CN=other.example'])
})

it('changes nothing that it does not understand', () => {
  const cases: readonly CertificatePem[] = [
    { certificate: intermediate + leaf, key: 'no key' },
    { certificate: intermediate + leaf, key: goodPair('other.example').key },
    { certificate: intermediate + leaf.slice(0, 200), key },
    { certificate: '', key },
    { certificate: root.repeat(40) + leaf, key },
  ]
  for (const pem of cases) expect(inOrder(pem)).toBe(pem)
})
