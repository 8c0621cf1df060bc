// A client in a process of its own, for tests that cut its network: logs in, prints its public key, and sends every
// packet back to its source.
//
//   node test/support/far-client.ts HOST PORT

import { DerpClient, newKeyPair } from '#client/derp-client.ts'

const [host, port] = process.argv.slice(2)
const client = await DerpClient.connect({
  host: host ?? '',
  port: Number(port),
  tls: { isInsecure: true },
  key: newKeyPair(),
})
client.on('packet', ({ source, packet }) => void client.send(source, packet))
process.stdout.write(`${Buffer.from(client.publicKey).toString('hex')}\n`)
