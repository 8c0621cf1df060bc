// Measures a relay with clients of this process: what a login and a client take, and what packets cost. The relay's own processor time
// and memory are measured, so it does not matter that these clients take more than it does.

import { setTimeout as sleep } from 'node:timers/promises'
import { DerpClient, newKeyPair, SharedResources, type ClientOptions } from '#client/derp-client.ts'
import type { Measured } from './capacity.ts'
import type { CapacityRelay } from './capacity-relay.ts'

/** These log in first and are not counted: the relay's code is compiled meanwhile. */
const FIRST_CLIENTS = 200
const IN_PROGRESS = 8
const PAIRS = 10
const PACKET_BYTES = 1_280
/** Of a pair: enough that the relay always has something to read, and less than a queue of it holds. */
const UNDER_WAY_MAX = 128
const PER_TURN_MAX = 16
/** Until then the relay has given back what its start took. */
const STARTED_MS = 9_000
const SETTLE_MS = 3_000

export interface LoadSize {
  readonly clients: number
  readonly packetSeconds: number
}

export async function measureLoad(
  relay: CapacityRelay,
  { clients, packetSeconds }: LoadSize,
): Promise<Omit<Measured, 'cores' | 'memoryBytes' | 'host'>> {
  const options = {
    host: '127.0.0.1',
    port: relay.port,
    tls: { isInsecure: true },
    shared: new SharedResources(),
  } as const
  const all = await logIn(options, FIRST_CLIENTS)
  try {
    await sleep(STARTED_MS)
    const bytesBefore = relay.residentBytes
    const cpuBefore = relay.cpuSeconds
    all.push(...(await logIn(options, clients)))
    const cpuSecondsPerLogin = (relay.cpuSeconds - cpuBefore) / clients
    await sleep(SETTLE_MS)
    const bytesPerClient = (relay.residentBytes - bytesBefore) / clients
    if (bytesPerClient <= 0) throw new Error('the memory of clients could not be told from other memory')
    const baseBytes = bytesBefore - FIRST_CLIENTS * bytesPerClient
    const packetsPerThread = await sendPackets(relay, all.slice(0, 2 * PAIRS), packetSeconds)
    return { baseBytes, bytesPerClient, cpuSecondsPerLogin, packetsPerThread }
  } finally {
    for (const client of all) client.destroy()
  }
}

async function logIn(options: Omit<ClientOptions, 'key'>, count: number): Promise<DerpClient[]> {
  const clients: DerpClient[] = []
  let begun = 0
  const logInNext = async (): Promise<void> => {
    while (begun++ < count) clients.push(await DerpClient.connect({ ...options, key: newKeyPair() }))
  }
  await Promise.all(Array.from({ length: IN_PROGRESS }, logInNext))
  return clients
}

/** Each sends to its neighbour as fast as the relay forwards. Returns what a thread could carry by the relay's own reckoning. */
async function sendPackets(
  relay: CapacityRelay,
  clients: readonly DerpClient[],
  seconds: number,
): Promise<number> {
  const packet = Buffer.alloc(PACKET_BYTES, 0x2a)
  const underWay = Array.from({ length: PAIRS }, () => 0)
  const offs = clients.flatMap((client, i) =>
    i % 2 === 0 ? [] : [client.on('packet', () => void (underWay[i >> 1] = (underWay[i >> 1] ?? 1) - 1))],
  )
  const end = performance.now() + 1_000 * seconds
  while (performance.now() < end) {
    for (let pair = 0; pair < PAIRS; pair++) {
      const [sender, receiver] = [clients[2 * pair], clients[2 * pair + 1]]
      if (sender === undefined || receiver === undefined) continue
      const count = Math.min(PER_TURN_MAX, UNDER_WAY_MAX - (underWay[pair] ?? 0))
      for (let i = 0; i < count; i++) sender.send(receiver.publicKey, packet)
      underWay[pair] = (underWay[pair] ?? 0) + Math.max(0, count)
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  const packets = await relay.metric('derp_thread_packets_max_per_second')
  for (const off of offs) off()
  if (packets === undefined) {
    throw new Error(
      'the machine is too slow or too busy: fewer than a thousand packets a second went through',
    )
  }
  return packets
}
