// Brings a certificate chain into the order that TLS needs: the certificate of the private key first, and after each its
// issuer. Operators join such files by hand. Changes nothing that it does not understand: certificate-check.ts reports that.

import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { CertificatePem } from '#protocol/certificate-pem.ts'
import { certificatesIn } from './certificate-check.ts'

/** A real chain has two to four; a bundle of all authorities is a mistake that is not to be sorted. */
const CHAIN_LENGTH_MAX = 16

/** The same if the chain is in order, or cannot be brought into order. */
export function inOrder(pem: CertificatePem): CertificatePem {
  const chain = parsedChain(pem)
  if (chain === undefined) return pem
  const ordered = withIssuers(chain.leaf, chain.all)
  if (ordered.every((one, i) => one === chain.all[i])) return pem
  // Those that belong to no chain stay at the end: they may help a client that knows another root.
  const others = chain.all.filter((one) => !ordered.includes(one))
  return { certificate: [...ordered, ...others].map((one) => one.toString()).join(''), key: pem.key }
}

interface Chain {
  /** The certificate of the private key. */
  readonly leaf: X509Certificate
  readonly all: readonly X509Certificate[]
}

function parsedChain({ certificate, key }: CertificatePem): Chain | undefined {
  const texts = certificatesIn(certificate)
  if (texts.length < 2 || texts.length > CHAIN_LENGTH_MAX) return undefined
  try {
    const privateKey = createPrivateKey(key)
    const all = texts.map((text) => new X509Certificate(text))
    const leaf = all.find((one) => one.checkPrivateKey(privateKey))
    return leaf && { leaf, all }
  } catch {
    return undefined
  }
}

/** The leaf, its issuer, the issuer's issuer and so on, as far as they are there. */
function withIssuers(leaf: X509Certificate, all: readonly X509Certificate[]): readonly X509Certificate[] {
  const ordered = [leaf]
  for (let last: X509Certificate | undefined = leaf; last !== undefined;) {
    const issued: X509Certificate = last
    last = all.find((one) => !ordered.includes(one) && issued.checkIssued(one))
    if (last !== undefined) ordered.push(last)
  }
  return ordered
}
