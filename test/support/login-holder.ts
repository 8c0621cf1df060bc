// A separate process that holds many logins on a relay: connects COUNT clients and reports that on standard output. After a
// line on standard input it pings each client and reports again. Ends when standard input ends. For tests of many
// connections.
//
//   node test/support/login-holder.ts PORT COUNT

import { DerpClient, newKeyPair, SharedResources } from '#client/derp-client.ts'

/** Concurrent logins: enough to keep the relay busy, few enough to stay within the login time limit. */
const CONCURRENT_MAX = 32

const [port, count] = process.argv.slice(2).map(Number)
const shared = new SharedResources()
const clients: DerpClient[] = []

async function logInMany(): Promise<void> {
  while (clients.length < (count ?? 0)) {
    const client = new DerpClient({
      host: '127.0.0.1',
      port: port ?? 0,
      tls: { isInsecure: true },
      key: newKeyPair(),
      shared,
    })
    clients.push(client)
    await client.connect()
  }
}

await Promise.all(Array.from({ length: CONCURRENT_MAX }, logInMany))
process.stdout.write(
  `${JSON.stringify({ connected: clients.filter((client) => client.isConnected).length })}\n`,
)
process.stdin.once('data', async () => {
  let answered = 0
  for (const client of clients) {
    await client.ping()
    answered++
  }
  const connected = clients.filter((client) => client.isConnected).length
  process.stdout.write(`${JSON.stringify({ connected, answered })}\n`)
})
process.stdin.on('end', () => process.exit(0))
