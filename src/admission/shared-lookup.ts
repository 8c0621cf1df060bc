// DNS lookups, at most one at a time for each name: a lookup occupies one of the process's few pool threads as long as DNS
// hangs, and files are read on the same threads.

import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import type { LookupFunction } from 'node:net'

const pending = new Map<string, Promise<LookupAddress[]>>()

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
  const shared = pending.get(hostname)
  if (shared !== undefined) return await shared
  const own = lookup(hostname, { all: true }).finally(() => pending.delete(hostname))
  pending.set(hostname, own)
  return await own
}
