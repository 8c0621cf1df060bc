// A client in a process of its own, for tests that cut its network: logs in, prints its public key, and sends every
// packet back to its source.
//
//   node test/support/far-client.ts HOST PORT tls|plain

import { DerpClient, newKeyPair } from '#client/derp-client.ts'

const [host, port, tls] = process.argv.slice(2)
const client = await DerpClient.connect({
  host: host ?? '',
  port: Number(port),
  tls: tls === 'plain' ? false : { isInsecure: true },
  key: newKeyPair(),
})
client.on('packet', ({ source, packet }) => void client.send(source, packet))
process.stdout.write(`${Buffer.from(client.publicKey).toString('hex')}\n`)
