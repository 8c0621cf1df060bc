// What a UDP socket is given in place of its lookup of names, where every destination is an address: there is no name to look up, and
// no turn of the event loop is lost for each datagram.

import { isIPv6 } from 'node:net'

/** The `lookup` of `createSocket`. */
export function lookupLiteral(
  address: string,
  _options: unknown,
  callback: (error: null, address: string, family: number) => void,
): void {
  callback(null, address, isIPv6(address) ? 6 : 4)
}
