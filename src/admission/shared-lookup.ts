// Name lookups of which there is one at a time for a name: each takes one of the process's few threads for as long as DNS
// hangs, and files are read by the same threads.

import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import type { LookupFunction } from 'node:net'

const underWay = new Map<string, Promise<LookupAddress[]>>()

/** For `net.connect`'s option `lookup`. */
export const sharedLookup: LookupFunction = (hostname, { all }, found) => {
  addressesOf(hostname).then(
    (addresses) => {
      const [first] = addresses
      if (all === true) found(null, addresses)
      else found(null, first?.address ?? '', first?.family)
    },
    (error: NodeJS.ErrnoException) => found(error, []),
  )
}

async function addressesOf(hostname: string): Promise<LookupAddress[]> {
  const known = underWay.get(hostname)
  if (known !== undefined) return await known
  const asked = lookup(hostname, { all: true }).finally(() => underWay.delete(hostname))
  underWay.set(hostname, asked)
  return await asked
}
