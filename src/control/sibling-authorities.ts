// The authorities that may have signed siblings' certificates: those that this host trusts, those that come with Node and
// those that the operator adds. Runs on the control thread, which hands them to the relay threads.

import { getCACertificates } from 'node:tls'
import { systemRoots } from '#admission/trusted-roots.ts'

/** @param added by the operator, PEM */
export function siblingAuthorities(added: string | undefined): readonly string[] {
  const all = new Set([...getCACertificates('default'), ...getCACertificates('system')])
  for (const text of [...systemRoots(process.env), added]) if (text !== undefined) all.add(text)
  return [...all]
}
