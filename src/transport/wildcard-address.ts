// What "every address" is on this machine: of both families where the kernel has both, else of the one that it has. A
// kernel may be built without IPv6, or be started with it switched off (ipv6.disable=1); then a socket of that family
// can't be made. Where it is only switched off for all interfaces the wildcard address works as ever.

import { createServer } from 'node:net'

/** An address to listen on for all others. */
export async function wildcardAddress(): Promise<'::' | '0.0.0.0'> {
  const server = createServer()
  return await new Promise((resolve) => {
    server.once('error', () => resolve('0.0.0.0'))
    server.listen({ host: '::', port: 0, exclusive: true }, () => {
      server.close(() => resolve('::'))
    })
  })
}
