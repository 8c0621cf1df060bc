// The authorities that siblings' certificates may be signed by: those that this host trusts, those that Node brings
// along and those that the operator names.

import { getCACertificates } from 'node:tls'
import { systemRoots } from '#admission/trusted-roots.ts'

/** @param more certificates, PEM */
export function authorities(more: string | undefined): readonly string[] {
  const all = new Set([...getCACertificates('default'), ...getCACertificates('system')])
  for (const text of [...systemRoots(process.env), more]) if (text !== undefined) all.add(text)
  return [...all]
}
