// The authorities that siblings' certificates may be signed by: those that this host trusts, those that Node brings
// along and those that the operator names.

import { readFileSync } from 'node:fs'
import { getCACertificates } from 'node:tls'

/** @param more certificates, PEM */
export function authorities(more: string | undefined): readonly string[] {
  const all = new Set([...getCACertificates('default'), ...getCACertificates('system')])
  for (const text of [ofFile(process.env['SSL_CERT_FILE']), more]) if (text !== undefined) all.add(text)
  return [...all]
}

/** As Go's programs do, what is no file is passed over. */
function ofFile(path: string | undefined): string | undefined {
  if (path === undefined || path === '') return undefined
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
