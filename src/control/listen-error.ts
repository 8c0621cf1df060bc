// Listening, told to an operator: what could not listen where, why, and which flag changes it, in one line.

import { endpointText } from '#config/listener-settings.ts'
import type { Endpoint } from '#config/settings.ts'

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'is in use by another process; stop it, or choose another port',
  EACCES: 'may not be used by this user; ports below 1024 need root or CAP_NET_BIND_SERVICE',
  EADDRNOTAVAIL: 'is not an address of this host',
  EAFNOSUPPORT: 'is of a family that this kernel has not',
}

/** Calls `listen`, which resolves to the port it got; an error is put in the operator's terms. */
export async function listening(
  what: string,
  flag: string,
  endpoint: Endpoint,
  listen: (endpoint: Endpoint) => Promise<number>,
): Promise<Endpoint> {
  try {
    return { host: endpoint.host, port: await listen(endpoint) }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason = REASONS[code ?? ''] ?? `can't be listened on (${message})`
    throw new Error(`${what}: ${endpointText(endpoint)} ${reason} (${flag})`, { cause: error })
  }
}
