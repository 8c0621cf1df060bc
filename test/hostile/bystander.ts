// Who has nothing to do with the attack: alice sends bob a packet every 15 ms, and four times a second somebody new logs
// in and sends bob one. In a process of its own, so that what it measures is the relay's time and not the attackers'.
// Answers each message of its parent with what has happened since the one before.
//
//   node test/hostile/bystander.ts PORT tls|plain SERVER_KEY

import { setTimeout as sleep } from 'node:timers/promises'
import { DerpClient, newKeyPair, SharedResources } from '#client/derp-client.ts'
import type { Way } from '#client/target.ts'

/** What happened in one stretch of time. */
export interface Testimony {
  readonly sent: number
  readonly received: number
  /** Delays of the packets that arrived, ascending, in ms. */
  readonly delaysMs: readonly number[]
  /** Each login with its first packet, in ms. */
  readonly loginsMs: readonly number[]
  /** Logins that failed, and the pair's own ends. */
  readonly failures: readonly string[]
}

const PACKET_EVERY_MS = 15
const LOGIN_EVERY_MS = 250
/** More than anybody may need, so that how late it was is seen. */
const LOGIN_TIMEOUT_MS = 8_000
/** A sequence number, a time, and some of what a game sends. */
const PACKET_BYTES = 200

const [port, door, serverKey] = process.argv.slice(2)
const ways: readonly Way[] =
  door === 'tls' ? ['fast-start', 'upgrade', 'websocket'] : ['upgrade', 'fast-start', 'websocket']
const target = {
  host: '127.0.0.1',
  port: Number(port),
  tls: door === 'tls' ? ({ isInsecure: true } as const) : (false as const),
  shared: new SharedResources(),
  connectTimeoutMs: LOGIN_TIMEOUT_MS,
  serverKey: new Uint8Array(Buffer.from(serverKey ?? '', 'hex')),
}

let isGoing = true
let testimony = nothing()
const arrivals = new Map<string, () => void>()

function nothing() {
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
    if (isGoing) testimony.failures.push(`${name}'s connection ended: ${JSON.stringify(end)}`)
  })
}
bob.on('packet', ({ source, packet }) => {
  if (Buffer.compare(source, alice.publicKey) === 0) {
    testimony.received++
    testimony.delaysMs.push(performance.now() - packet.readDoubleBE(0))
  } else {
    arrivals.get(Buffer.from(source).toString('hex'))?.()
  }
})

setInterval(() => {
  const packet = Buffer.alloc(PACKET_BYTES)
  packet.writeDoubleBE(performance.now())
  testimony.sent++
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
    testimony.loginsMs.push(performance.now() - startMs)
  } catch (error) {
    testimony.failures.push(`login (${way}): ${String(error)}`)
  } finally {
    arrivals.delete(name)
    void cathy?.close()
  }
}

process.on('message', (word) => {
  if (word === 'end') isGoing = false
  process.send?.({ ...testimony, delaysMs: testimony.delaysMs.toSorted((a, b) => a - b) } satisfies Testimony)
  testimony = nothing()
  if (!isGoing) process.exit(0)
})
process.on('disconnect', () => process.exit(0))
process.send?.('ready')

for (let at = 0; isGoing; at++) {
  await logIn(ways[at % ways.length] ?? 'upgrade')
  await sleep(LOGIN_EVERY_MS)
}
