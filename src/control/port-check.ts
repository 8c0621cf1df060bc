// Whether a port could be listened on: tried, and let go again. Where several threads share a port the system would
// let another program join them unnoticed, so this is asked first; and a start that is going to fail because of one
// port should not have served anybody on another meanwhile.

import { createSocket } from 'node:dgram'
import { createServer, isIPv6 } from 'node:net'

interface Place {
  readonly host: string
  readonly port: number
}

/** Rejects with the system's own error: in use, not allowed, no such address. */
export async function assertTcpFree({ host, port }: Place): Promise<void> {
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
export async function assertUdpFree({ host, port }: Place): Promise<void> {
  const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4')
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    socket.bind({ address: host, port, exclusive: true }, resolve)
  })
  await new Promise<void>((resolve) => {
    socket.close(resolve)
  })
}
