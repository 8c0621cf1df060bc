// Clients that have nothing to do with the attack: alice sends bob a packet every 15 ms, and four times a second a new client logs
// in and sends bob one. They run in a process of their own, so that it measures the relay's time and not the attackers'. The
// process answers each message of its parent (witness.ts) with what has happened since the message before.
//
//   node test/hostile/bystander.ts PORT tls|plain SERVER_KEY

import { setTimeout as sleep } from 'node:timers/promises'
import { DerpClient, newKeyPair, SharedResources } from '#client/derp-client.ts'
import type { Way } from '#client/target.ts'

/** What happened since the last message. */
export interface Observations {
  readonly sent: number
  readonly received: number
  /** Delays of the packets that arrived, ascending, in ms. */
  readonly delaysMs: readonly number[]
  /** Times of logins, up to the arrival of the first packet, in ms. */
  readonly loginsMs: readonly number[]
  /** Failed logins, and ends of alice's and bob's connections. */
  readonly failures: readonly string[]
}

const PACKET_EVERY_MS = 15
const LOGIN_EVERY_MS = 250
/** More than a login may take, so that a late login is measured too. */
const LOGIN_TIMEOUT_MS = 8_000
/** The size of a packet that a game sends. */
const PACKET_BYTES = 200

const [port, portKind, serverKey] = process.argv.slice(2)
const ways: readonly Way[] =
  portKind === 'tls' ? ['fast-start', 'upgrade', 'websocket'] : ['upgrade', 'fast-start', 'websocket']
const target = {
  host: '127.0.0.1',
  port: Number(port),
  tls: portKind === 'tls' ? ({ isInsecure: true } as const) : (false as const),
  shared: new SharedResources(),
  connectTimeoutMs: LOGIN_TIMEOUT_MS,
  serverKey: new Uint8Array(Buffer.from(serverKey ?? '', 'hex')),
}

let isRunning = true
let observed = noObservations()
const arrivals = new Map<string, () => void>()

function noObservations() {
  return {
    sent: 0,
    received: 0,
    delaysMs: [] as number[],
    loginsMs: [] as number[],
    failures: [] as string[],
  }
}

const bob = await DerpClient.connect({ ...target, key: newKeyPair() })
const alice = await DerpClient.connect({ ...target, key: newKeyPair() })
for (const [name, client] of Object.entries({ alice, bob })) {
  client.on('closed', (end) => {
    if (isRunning) observed.failures.push(`${name}'s connection ended: ${JSON.stringify(end)}`)
  })
}
bob.on('packet', ({ source, packet }) => {
  if (Buffer.compare(source, alice.publicKey) === 0) {
    observed.received++
    observed.delaysMs.push(performance.now() - packet.readDoubleBE(0))
  } else {
    arrivals.get(Buffer.from(source).toString('hex'))?.()
  }
})

setInterval(() => {
  const packet = Buffer.alloc(PACKET_BYTES)
  packet.writeDoubleBE(performance.now())
  observed.sent++
  alice.send(bob.publicKey, packet)
}, PACKET_EVERY_MS)

async function logIn(way: Way): Promise<void> {
  const startMs = performance.now()
  const key = newKeyPair()
  const name = Buffer.from(key.publicKey).toString('hex')
  const arrived = new Promise<void>((resolve) => arrivals.set(name, resolve))
  let cathy: DerpClient | undefined
  try {
    cathy = await DerpClient.connect({ ...target, key, way })
    cathy.send(bob.publicKey, Buffer.from('hello'))
    const isLate = sleep(LOGIN_TIMEOUT_MS, 'late' as const, { ref: false })
    if ((await Promise.race([arrived, isLate])) === 'late') throw new Error('its first packet did not arrive')
    observed.loginsMs.push(performance.now() - startMs)
  } catch (error) {
    observed.failures.push(`login (${way}): ${String(error)}`)
  } finally {
    arrivals.delete(name)
    void cathy?.close()
  }
}

process.on('message', (message) => {
  if (message === 'end') isRunning = false
  process.send?.({
    ...observed,
    delaysMs: observed.delaysMs.toSorted((a, b) => a - b),
  } satisfies Observations)
  observed = noObservations()
  if (!isRunning) process.exit(0)
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')

for (let at = 0; isRunning; at++) {
  await logIn(ways[at % ways.length] ?? 'upgrade')
  await sleep(LOGIN_EVERY_MS)
}
