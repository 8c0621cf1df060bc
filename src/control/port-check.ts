// Whether ports can be listened on: each is bound and released again. Runs on the control thread before any listener
// starts, for two reasons. Threads share the DERP port, so the system would let them join another program's port
// unnoticed. And a start that fails because of one port must not have served clients on another one meanwhile.

import { createSocket } from 'node:dgram'
import { createServer, isIPv6 } from 'node:net'
import type { Endpoint } from '#config/endpoint.ts'
import type { Settings } from '#config/settings.ts'
import type { InheritedListeners } from './inherited-listeners.ts'
import { withListenError } from './listen-error.ts'
import type { RunPorts } from './run-messages.ts'

/**
 * @param inherited listeners whose sockets are open already are not tried
 * @param shared ports on which another run of this relay listens: they are not free, but can be shared with it alone
 * @throws Error in the operator's terms for the first port that can't be listened on
 */
export async function assertPortsFree(
  settings: Settings,
  inherited: InheritedListeners,
  shared: RunPorts,
): Promise<void> {
  assertReplaces(shared.derp, settings.derp.port)
  const listeners = [
    ['DERP', '-a', 'derp', assertTcpFree],
    ['HTTP', '-http-port', 'http', assertTcpFree],
    ['admin', '-admin', 'admin', assertTcpFree],
    ['STUN', '-stun-port', 'stun', assertUdpFree],
  ] as const
  for (const [name, flag, key, assertFree] of listeners) {
    const endpoint = settings[key]
    if (endpoint === undefined || inherited[key].length > 0) continue
    const isShared = shared[key] === endpoint.port
    await withListenError(name, flag, endpoint, async (at) => {
      await assertFree(at, isShared)
      return at.port
    })
  }
}

/**
 * A run takes over from the one that serves. With another port it is more likely a second relay, started with the key of the
 * first, and clients that know the first port would find nobody there. Port 0 is any port.
 */
function assertReplaces(present: number | undefined, port: number): void {
  if (present === undefined || port === 0 || present === port) return
  throw new Error(
    `DERP: another process with this relay's key serves on port ${present}, and this one is to serve on port ${port}; ` +
      `to replace that process, choose its port with -a; to run both, choose another key with -c or another -state-dir`,
  )
}

/** Rejects with the system's own error: in use, not permitted, no such address. */
export async function assertTcpFree({ host, port }: Endpoint, isShared = false): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, exclusive: true, reusePort: isShared }, resolve)
  })
  await new Promise((resolve) => {
    server.close(resolve)
  })
}

/** The same for UDP. */
export async function assertUdpFree({ host, port }: Endpoint, isShared = false): Promise<void> {
  const socket = createSocket({ type: isIPv6(host) ? 'udp6' : 'udp4', reusePort: isShared })
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind({ address: host, port, exclusive: true }, resolve)
  })
  await new Promise<void>((resolve) => {
    socket.close(resolve)
  })
}
