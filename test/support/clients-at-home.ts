// Clients in a process of their own that log in from a given address and are at home at the relay; for tests of what a relay
// knows of places.
//
//   node test/support/clients-at-home.ts HOST DIAL-ADDRESS PORT LOCAL-ADDRESS COUNT

import { DerpClient, newKeyPair } from '#client/derp-client.ts'

const [host = '', dialAddress, port, localAddress, count] = process.argv.slice(2)
await Promise.all(
  Array.from({ length: Number(count) }, async () => {
    const tls = { isInsecure: true } as const
    await DerpClient.connect({
      host,
      dialAddress,
      port: Number(port),
      localAddress,
      tls,
      key: newKeyPair(),
      isPreferred: true,
    })
  }),
)
process.stdout.write('all are here\n')
