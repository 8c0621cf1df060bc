// Whether ports can be listened on: each is bound and released again. Runs on the control thread before any listener
// starts, for two reasons. Threads share the DERP port, so the system would let them join another program's port
// unnoticed. And a start that fails because of one port must not have served clients on another one meanwhile.

import { createSocket } from 'node:dgram'
import { createServer, isIPv6 } from 'node:net'
import type { Endpoint } from '#config/endpoint.ts'
import type { Settings } from '#config/settings.ts'
import type { InheritedListeners } from './inherited-listeners.ts'
import { withListenError } from './listen-error.ts'

/**
 * @param inherited listeners whose sockets are open already are not tried
 * @throws Error in the operator's terms for the first port that can't be listened on
 */
export async function assertPortsFree(
  { derp, http, stun, admin }: Settings,
  inherited: InheritedListeners,
): Promise<void> {
  const listeners = [
    ['DERP', '-a', derp, inherited.derp, tryTcp],
    ['HTTP', '-http-port', http, inherited.http, tryTcp],
    ['admin', '-admin', admin, inherited.admin, tryTcp],
    ['STUN', '-stun-port', stun, inherited.stun, tryUdp],
  ] as const
  for (const [name, flag, endpoint, { length }, tryListen] of listeners) {
    if (endpoint !== undefined && length === 0) await withListenError(name, flag, endpoint, tryListen)
  }
}

async function tryTcp(endpoint: Endpoint): Promise<number> {
  await assertTcpFree(endpoint)
  return endpoint.port
}

async function tryUdp(endpoint: Endpoint): Promise<number> {
  await assertUdpFree(endpoint)
  return endpoint.port
}

/** Rejects with the system's own error: in use, not permitted, no such address. */
export async function assertTcpFree({ host, port }: Endpoint): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port, exclusive: true }, resolve)
  })
  await new Promise((resolve) => {
    server.close(resolve)
  })
}

/** The same for UDP. */
export async function assertUdpFree({ host, port }: Endpoint): Promise<void> {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind({ address: host, port, exclusive: true }, resolve)
  })
  await new Promise<void>((resolve) => {
    socket.close(resolve)
  })
}
