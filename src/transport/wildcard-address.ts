// The wildcard address of this machine: of both IP families if the kernel has both, else of the family that it has. A kernel
// may be built without IPv6, or be started with IPv6 switched off (ipv6.disable=1); then no IPv6 socket can be made. If IPv6 is
// only switched off for all interfaces, the IPv6 wildcard address still works.

import { createServer } from 'node:net'

/** The address to listen on for all addresses. */
export async function wildcardAddress(): Promise<'::' | '0.0.0.0'> {
  const server = createServer()
  return await new Promise((resolve) => {
    server.once('error', () => resolve('0.0.0.0'))
    server.listen({ host: '::', port: 0, exclusive: true }, () => {
      server.close(() => resolve('::'))
    })
  })
}
