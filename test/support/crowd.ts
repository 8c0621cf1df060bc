// Many clients in a process of its own, so that they can be on a host of a lab: groups that each connect to one relay, and
// groups that send to others at a steady rate. Prints a line of JSON four times a second, once all are connected: what was
// sent and has arrived so far. Begins to send at SIGUSR2.
//
//   node test/support/crowd.ts '{"groups": […], "flows": […]}'

import { createHash } from 'node:crypto'
import { DerpClient, SharedResources } from '#client/derp-client.ts'
import { keyPairFrom } from '#protocol/node-key.ts'

export interface CrowdPlan {
  /** Clients of two groups with the same seed have the same keys: they are connected twice. */
  readonly groups: readonly {
    readonly host: string
    readonly seed: string
    readonly count: number
    readonly isHome: boolean
  }[]
  /** The first clients of a group send to those of the other, which may be of another crowd. */
  readonly flows: readonly {
    readonly from: string
    readonly to: string
    readonly clients: number
    /** Of all of them together. */
    readonly packetsPerSecond: number
    readonly packetBytes: number
    readonly seconds: number
  }[]
}

export interface CrowdLine {
  /** Monotonic, of this process. */
  readonly atMs: number
  readonly sentPackets: number
  readonly sentBytes: number
  readonly receivedPackets: number
  readonly receivedBytes: number
}

const DERP_PORT = 443
const TICK_MS = 5
const LINE_MS = 250

const { groups, flows } = JSON.parse(process.argv[2] ?? '') as CrowdPlan
const shared = new SharedResources()
const sum = { sentPackets: 0, sentBytes: 0, receivedPackets: 0, receivedBytes: 0 }
const homeClients = new Map<string, DerpClient[]>()

/** The first round trips of a connection would have the others' logins in them if there were many. */
const LOGINS_AT_ONCE = 4

for (const group of groups) {
  const clients: DerpClient[] = []
  while (clients.length < group.count) {
    const next = Math.min(LOGINS_AT_ONCE, group.count - clients.length)
    const from = clients.length
    const logins = Array.from({ length: next }, async (_, n) => await connect(group, from + n))
    clients.push(...(await Promise.all(logins)))
  }
  if (group.isHome) homeClients.set(group.seed, clients)
}

async function connect({ host, seed, isHome }: CrowdPlan['groups'][number], at: number): Promise<DerpClient> {
  const client = await DerpClient.connect({
    host,
    port: DERP_PORT,
    tls: { isInsecure: true },
    key: keyOf(seed, at),
    isPreferred: isHome,
    shared,
  })
  client.on('packet', ({ packet }) => {
    sum.receivedPackets++
    sum.receivedBytes += packet.length
  })
  return client
}

// The clients of other crowds may have to connect first.
process.on('SIGUSR2', () => flows.forEach(startFlow))
setInterval(() => {
  const line: CrowdLine = { atMs: performance.now(), ...sum }
  process.stdout.write(`${JSON.stringify(line)}\n`)
}, LINE_MS)

/** Packets are due by the clock, so that late ticks do not lower the rate. */
function startFlow(flow: CrowdPlan['flows'][number]): void {
  const { from, to, clients, packetsPerSecond, packetBytes, seconds } = flow
  const senders = homeClients.get(from) ?? []
  const destinations = Array.from({ length: clients }, (_, at) => keyOf(to, at).publicKey)
  const packet = Buffer.alloc(packetBytes, 'packet')
  const startMs = performance.now()
  let sent = 0
  setInterval(() => {
    const elapsedSeconds = Math.min(seconds, (performance.now() - startMs) / 1_000)
    const due = Math.floor(elapsedSeconds * packetsPerSecond)
    for (; sent < due; sent++) {
      const at = sent % clients
      senders[at]?.send(destinations[at] as Uint8Array, packet)
      sum.sentPackets++
      sum.sentBytes += packetBytes
    }
  }, TICK_MS)
}

function keyOf(seed: string, at: number): ReturnType<typeof keyPairFrom> {
  return keyPairFrom(createHash('sha256').update(`${seed} ${at}`).digest())
}
