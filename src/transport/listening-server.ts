// A server of Node's that listens for clients, on a port that the relay's other threads may share; what becomes of the
// connections is its owner's business.

import type { AddressInfo, Server } from 'node:net'

/** Dials that wait to be accepted while a storm of reconnects is worked off. */
const BACKLOG = 8_192

/** Rejects with the system's own error. */
export async function listenOn(
  server: Server,
  endpoint: { host: string; port: number },
  isShared: boolean,
): Promise<AddressInfo> {
  await new Promise<void>((resolve, reject) => {
    const refused = (error: Error): void => {
      server.off('listening', listening)
      reject(error)
    }
    const listening = (): void => {
      server.off('error', refused)
      resolve()
    }
    server.once('error', refused)
    server.once('listening', listening)
    server.listen({ ...endpoint, backlog: BACKLOG, reusePort: isShared })
  })
  return server.address() as AddressInfo
}
