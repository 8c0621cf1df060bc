// A failure to listen in the operator's terms: which listener, which address, why, and which flag changes it, in one line.
// Runs on the control thread.

import { endpointText } from '#config/endpoint.ts'
import type { Endpoint } from '#config/endpoint.ts'

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use by another process; stop it, or choose another port',
  EACCES: 'is not permitted for this user; ports below 1024 need root or CAP_NET_BIND_SERVICE',
  EADDRNOTAVAIL: 'is not an address of this host',
  EAFNOSUPPORT: 'needs an address family that this kernel does not support',
}

/**
 * Calls `listen` and returns the endpoint with the port that it resolved to.
 *
 * @param name of the listener, as operators know it
 * @throws Error in the operator's terms, caused by the error of `listen`
 */
export async function withListenError(
  name: string,
  flag: string,
  endpoint: Endpoint,
  listen: (endpoint: Endpoint) => Promise<number>,
): Promise<Endpoint> {
  try {
    return { host: endpoint.host, port: await listen(endpoint) }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason = REASONS[code ?? ''] ?? `cannot be listened on (${message})`
    throw new Error(`${name}: ${endpointText(endpoint)} ${reason} (${flag})`, { cause: error })
  }
}
