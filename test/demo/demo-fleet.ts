// A fleet to look at: three regions of two relays, each a process, with real clients that send packets to each other. Relays are
// hosts of a lab with delayed packets between them, or where that is not possible processes on loopback without delay.

import { setTimeout as sleep } from 'node:timers/promises'
import { newKeyPair } from '#client/derp-client.ts'
import { ReconnectingDerpClient } from '#client/reconnecting-derp-client.ts'
import { canDelayPackets, DelayRouter } from '../support/delay-router.ts'
import { Fleet, type PlacedRelay } from '../support/fleet.ts'
import { Lab } from '../support/lab.ts'

interface DemoRegion {
  readonly id: number
  readonly code: string
  readonly name: string
  readonly latitude: number
  readonly longitude: number
}

export const REGIONS: readonly DemoRegion[] = [
  { id: 900, code: 'fra', name: 'Frankfurt', latitude: 50.11, longitude: 8.68 },
  { id: 901, code: 'nyc', name: 'New York', latitude: 40.71, longitude: -74.01 },
  { id: 902, code: 'syd', name: 'Sydney', latitude: -33.87, longitude: 151.21 },
]
const NODES = REGIONS.flatMap(({ id, code }) =>
  [1, 2].map((number) => ({
    id,
    code,
    node: `${id}${number === 1 ? 'a' : 'b'}`,
    hostname: `${code}${number}.lab`,
  })),
)
/** Round trips between regions, jitter and loss on the way, as they are between such places. */
const WAYS: Readonly<Record<string, { ms: number; jitterMs: number; loss: number }>> = {
  'fra nyc': { ms: 84, jitterMs: 1.5, loss: 0 },
  'fra syd': { ms: 272, jitterMs: 6, loss: 0.002 },
  'nyc syd': { ms: 206, jitterMs: 4, loss: 0 },
}
const WITHIN_MS = 0.8
const LOOPBACK_PORT = 8_443
const CLIENTS: Readonly<Record<string, number>> = { fra: 24, nyc: 14, syd: 6 }
const PACKET_BYTES = 1_200
const PACKETS_EACH = 20
const SEND_EVERY_MS = 50
/** The port of every relay's admin pages. */
const ADMIN_PORT = 9_090

interface DemoRelay extends PlacedRelay {
  readonly id: number
  readonly code: string
}

interface DemoClient {
  readonly client: ReconnectingDerpClient
  code: string
}

export class DemoFleet implements AsyncDisposable {
  readonly relays: readonly DemoRelay[]
  readonly #fleet: Fleet
  readonly #around: readonly AsyncDisposable[]
  readonly #port: number
  #clients: readonly DemoClient[] = []
  #traffic: NodeJS.Timeout | undefined = undefined

  private constructor(relays: readonly DemoRelay[], fleet: Fleet, around: readonly AsyncDisposable[]) {
    this.relays = relays
    this.#fleet = fleet
    this.#around = around
    this.#port = relays[0]?.at === undefined ? 443 : LOOPBACK_PORT
  }

  /** Whether packets between the regions are delayed. */
  get isDelayed(): boolean {
    return this.#around.length > 0
  }

  static async start(): Promise<DemoFleet> {
    const around: AsyncDisposable[] = []
    const relays = (await canDelayPackets()) ? await inLab(around) : onLoopback()
    const fleet = await Fleet.make(regionsText(relays, []))
    const demo = new DemoFleet(relays, fleet, around)
    try {
      // One after the other: the authority counts the certificates that it issues in a file.
      for (const { node } of relays) await demo.startRelay(node)
      demo.#connectClients()
      return demo
    } catch (error) {
      await demo[Symbol.asyncDispose]()
      throw error
    }
  }

  pageOf(node: string): string {
    return `http://${this.#relay(node).host.address}:${ADMIN_PORT}/`
  }

  async startRelay(node: string): Promise<void> {
    const apart = this.isDelayed ? [] : ['-http-port', '-1']
    await this.#fleet.start(
      this.#relay(node),
      '-threads',
      '1',
      '-state-dir',
      `${this.#fleet.folder}/${node}`,
      ...apart,
    )
  }

  async killRelay(node: string): Promise<void> {
    await this.#fleet.kill(node)
  }

  /** Drains regions, and no others. Clients of the demo leave them as idle Tailscale clients do. */
  async drainRegions(...codes: readonly string[]): Promise<void> {
    await this.#fleet.setRegions(regionsText(this.relays, codes))
    for (const one of this.#clients) {
      const home = homeOf(this.#clients.indexOf(one))
      one.code = codes.includes(home)
        ? (REGIONS.find(({ code }) => !codes.includes(code))?.code ?? home)
        : home
    }
    for (const { client } of this.#clients) await client.client.close()
  }

  get connected(): number {
    return this.#clients.filter(({ client }) => client.isConnected).length
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#traffic)
    await Promise.all(this.#clients.map(async ({ client }) => await client.close()))
    await this.#fleet[Symbol.asyncDispose]()
    for (const part of this.#around.toReversed()) await part[Symbol.asyncDispose]()
  }

  #relay(node: string): DemoRelay {
    const relay = this.relays.find((one) => one.node === node)
    if (relay === undefined) throw new Error(`no node ${node}`)
    return relay
  }

  #connectClients(): void {
    const all = Object.values(CLIENTS).reduce((sum, count) => sum + count, 0)
    this.#clients = Array.from({ length: all }, (_, at) => this.#newClient(homeOf(at)))
    for (const { client } of this.#clients) client.start()
    this.#traffic = setInterval(() => this.#send(), SEND_EVERY_MS)
  }

  #newClient(code: string): DemoClient {
    let attempts = 0
    const one: DemoClient = {
      code,
      client: new ReconnectingDerpClient({
        key: newKeyPair(),
        host: 'localhost',
        tls: { isInsecure: true },
        isPreferred: true,
        // Like Tailscale's clients: the first node of the region that answers, but spread over both.
        findTarget: async () => {
          const nodes = this.relays.filter((relay) => relay.code === one.code)
          const relay = nodes[attempts++ % nodes.length] ?? this.relays[0]
          return await Promise.resolve({
            host: relay?.hostname ?? '',
            dialAddress: relay?.host.address ?? '',
            port: this.#port,
            tls: { isInsecure: true },
          })
        },
      }),
    }
    attempts = Math.floor(Math.random() * 2)
    return one
  }

  #send(): void {
    const clients = this.#clients
    const packet = new Uint8Array(PACKET_BYTES)
    for (let i = 0; i < PACKETS_EACH; i++) {
      const [from, to] = [clients, clients].map((all) => all[Math.floor(Math.random() * all.length)])
      if (from !== undefined && to !== undefined && from !== to) from.client.send(to.client.publicKey, packet)
    }
  }
}

/** The region of a client by its number. */
function homeOf(at: number): string {
  let left = at
  for (const [code, count] of Object.entries(CLIENTS)) {
    if (left < count) return code
    left -= count
  }
  return REGIONS[0]?.code ?? ''
}

async function inLab(around: AsyncDisposable[]): Promise<readonly DemoRelay[]> {
  const lab = await Lab.make(...NODES.map(({ hostname }) => hostname))
  around.push(lab)
  const router = await DelayRouter.make(lab)
  around.push(router)
  const relays = NODES.map((node) => ({ ...node, host: lab.host(node.hostname) }))
  for (const [at, one] of relays.entries()) {
    for (const other of relays.slice(at + 1)) {
      const way = WAYS[`${one.code} ${other.code}`]
      router.setRoundTrip(one.host, other.host, way?.ms ?? WITHIN_MS, {
        jitterMs: (way?.jitterMs ?? 0) / 2,
        loss: (way?.loss ?? 0) / 2,
      })
    }
  }
  return relays
}

/** Every address of 127.0.0.0/8 is this machine, on Linux. */
function onLoopback(): readonly DemoRelay[] {
  return NODES.map((node, at) => {
    const address = `127.0.1.${at + 1}`
    const command = (program: string, ...args: readonly string[]): [string, string[]] => [program, [...args]]
    return Object.assign({ host: { address, command }, at: `${address}:${LOOPBACK_PORT}` }, node)
  })
}

function regionsText(relays: readonly DemoRelay[], draining: readonly string[]): string {
  const regions = REGIONS.map(({ id, ...region }) => {
    const nodes = relays
      .filter((relay) => relay.id === id)
      .map(({ node, hostname, host, at }) => ({
        name: node,
        hostname,
        ipv4: host.address,
        mesh: host.address,
        derpport: at === undefined ? undefined : LOOPBACK_PORT,
      }))
    return [id, { ...region, state: draining.includes(region.code) ? 'draining' : 'active', nodes }]
  })
  return JSON.stringify({ regions: Object.fromEntries(regions) }, undefined, 2)
}

/** Resolves at a time of the demo's story, or earlier if it ends. */
export async function pause(seconds: number, ended: AbortSignal): Promise<void> {
  await sleep(seconds * 1_000, undefined, { signal: ended }).catch(() => undefined)
}
