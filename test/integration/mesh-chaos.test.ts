// Eight relays in four regions and two NATS servers, as processes of this machine. Relays and servers are killed and
// restarted at random while clients send packets. A packet may be lost only if a relay or server on its way was killed.
// MESH_CHAOS_SECONDS sets the duration; ten minutes find more than one.

import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { ReconnectingDerpClient } from '#client/reconnecting-derp-client.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { Random } from '../simulation/random.ts'
import { makeCertificate, type Certificate } from '../support/certificate.ts'
import { relayArguments } from '../support/fleet.ts'
import { foreignPrograms } from '../support/foreign.ts'
import { NatsServers } from '../support/nats.ts'
import { freePort, startProcess, waitUntil, type RunningProcess } from '../support/process.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { PROGRAM } from '../support/program-path.ts'

const SECONDS = Number(process.env['MESH_CHAOS_SECONDS'] ?? 45)
const TIMEOUT_MS = (SECONDS + 120) * 1_000
const REGIONS = 4
const RELAYS_PER_REGION = 2
const CLIENTS_PER_RELAY = 2
const SEND_EVERY_MS = 250
/** From a restart until all clients are reachable: links are dialled every 5 s, and clients reconnect as often. */
const RECOVERY_MS = 12_000
/** Longer than any packet is in transit. */
const TRANSIT_MS = 3_000

const found = await foreignPrograms('nats-server')

interface Relay {
  readonly name: string
  readonly region: number
  readonly port: number
  readonly client: ReconnectingDerpClient[]
  running: RunningProcess | undefined
}

/** A period in which the failure of a relay or of NATS may lose packets. */
interface Outage {
  /** A relay's name, or `nats`. */
  readonly failed: string
  readonly fromMs: number
  toMs: number
}

interface Sent {
  readonly from: Relay
  readonly to: Relay
  readonly atMs: number
  isReceived: boolean
}

describe.skipIf('missing' in found)('a fleet whose relays and servers are killed at random', () => {
  const folder = new TemporaryFolder()
  const random = new Random(Number(process.env['SIMULATION_SEED'] ?? Date.now() % 2 ** 31))
  const relays: Relay[] = []
  const outages: Outage[] = []
  const sent = new Map<string, Sent>()
  /** Packets before the test that have not arrived. */
  const early = new Set<string>()
  let servers: NatsServers
  let certificate: Certificate

  beforeAll(async () => {
    certificate = await makeCertificate(folder.path, 'localhost')
    const program = 'paths' in found ? found.paths['nats-server'] : ''
    servers = await NatsServers.start(program, { folder: folder.path, names: ['EU', 'US'] })
    for (let i = 0; i < REGIONS * RELAYS_PER_REGION; i++) {
      const region = 900 + Math.floor(i / RELAYS_PER_REGION)
      relays.push({
        name: `${region}${'ab'[i % 2]}`,
        region,
        port: await freePort(),
        client: [],
        running: undefined,
      })
    }
    await writeFile(join(folder.path, 'regions.yaml'), regionsText(relays))
    await writeFile(join(folder.path, 'psk'), randomBytes(32).toString('hex'), { mode: 0o600 })
    await writeFile(join(folder.path, 'secret'), randomBytes(32).toString('hex'), { mode: 0o600 })
    for (const relay of relays) {
      await writeFile(join(folder.path, `${relay.name}.json`), formatKeyFile(newKeyPair()), { mode: 0o600 })
    }
    await Promise.all(relays.map(start))
    for (const relay of relays) for (let i = 0; i < CLIENTS_PER_RELAY; i++) relay.client.push(clientOf(relay))
    await waitUntil('all clients are connected', () => allClients().every(({ isConnected }) => isConnected))
    await untilLinked()
  }, TIMEOUT_MS)

  afterAll(async () => {
    for (const client of allClients()) await client.close()
    await Promise.all(relays.map(async ({ running }) => await running?.stop()))
    await servers?.[Symbol.asyncDispose]()
    folder[Symbol.dispose]()
  }, TIMEOUT_MS)

  const allClients = (): ReconnectingDerpClient[] => relays.flatMap(({ client }) => client)

  async function start(relay: Relay): Promise<void> {
    const common = relayArguments(folder.path, {
      node: relay.name,
      hostname: 'localhost',
      at: `127.0.0.1:${relay.port}`,
      caPath: certificate.certPath,
    })
    const [near, far] = relay.region % 2 === 0 ? ['EU', 'US'] : ['US', 'EU']
    const nats = ['-nats-url', `${servers.url(near ?? '')},${servers.url(far ?? '')}`]
    const more = ['-nats-secret-file', join(folder.path, 'secret'), '-threads', '1']
    const off = ['-admin', 'off', '-stun=false', '-http-port', '-1']
    const args = ['serve', ...common, ...nats, ...more, ...off]
    relay.running = await startProcess(PROGRAM, args, { readyWhen: /"relay_started"/ })
  }

  function clientOf(relay: Relay): ReconnectingDerpClient {
    const client = new ReconnectingDerpClient({
      host: 'localhost',
      port: relay.port,
      dialAddress: '127.0.0.1',
      tls: { isInsecure: true },
      key: newKeyPair(),
      isPreferred: true,
    })
    client.on('packet', ({ packet }) => {
      if (early.delete(packet.toString())) return
      const one = sent.get(packet.toString())
      if (one === undefined) throw new Error(`received an unknown packet: ${packet.toString()}`)
      if (one.isReceived) throw new Error(`received twice: ${packet.toString()}`)
      one.isReceived = true
    })
    client.start()
    return client
  }

  /** Relays that have started at once dial some siblings too early, and again seconds later. */
  async function untilLinked(): Promise<void> {
    const pairs = relays.flatMap((from) =>
      relays.filter((to) => to !== from && to.region === from.region).map((to) => ({ from, to })),
    )
    await Promise.all(
      pairs.map(async ({ from, to }) => {
        const texts: string[] = []
        await waitUntil(`a packet of ${from.name} reaches ${to.name}`, async () => {
          const [client, target] = [from.client[0], to.client[0]]
          if (client === undefined || target === undefined) return false
          const text = randomBytes(8).toString('hex')
          texts.push(text)
          early.add(text)
          client.send(target.publicKey, Buffer.from(text))
          await sleep(SEND_EVERY_MS)
          return texts.some((one) => !early.has(one))
        })
      }),
    )
  }

  /** Every client sends a packet to a random other one. */
  function sendRound(): void {
    for (const from of relays) {
      for (const client of from.client) {
        const to = random.pick(relays) as Relay
        const target = random.pick(to.client) as ReconnectingDerpClient
        if (target === client || !client.isConnected) continue
        const text = randomBytes(8).toString('hex')
        if (client.send(target.publicKey, Buffer.from(text))) {
          sent.set(text, { from, to, atMs: performance.now(), isReceived: false })
        }
      }
    }
  }

  async function outage(
    failed: string,
    kill: () => Promise<void>,
    restart: () => Promise<void>,
  ): Promise<void> {
    const one: Outage = { failed, fromMs: performance.now() - TRANSIT_MS, toMs: Infinity }
    outages.push(one)
    await kill()
    await sleep(random.between(500, 4_000))
    await restart()
    one.toMs = performance.now() + RECOVERY_MS
  }

  async function causeOutage(): Promise<void> {
    if (random.chance(0.3)) {
      const server = random.pick(['EU', 'US']) ?? 'EU'
      await outage(
        'nats',
        async () => await servers.kill(server),
        async () => await servers.restart(server),
      )
      return
    }
    const relay = random.pick(relays) as Relay
    const kill = async (): Promise<void> => {
      relay.running?.signal('SIGKILL')
      await relay.running?.exited
    }
    await outage(relay.name, kill, async () => await start(relay))
  }

  /** Whether an outage explains the loss of a packet. */
  function isExplained({ from, to, atMs }: Sent): boolean {
    const isFar = from.region !== to.region
    return outages.some(
      ({ failed, fromMs, toMs }) =>
        atMs >= fromMs &&
        atMs <= toMs &&
        (failed === from.name || failed === to.name || (failed === 'nats' && isFar)),
    )
  }

  test(
    'loses packets only by outages, and delivers to all clients again',
    { timeout: TIMEOUT_MS },
    async () => {
      // At first not all keys are known everywhere.
      outages.push({ failed: 'nats', fromMs: 0, toMs: performance.now() + RECOVERY_MS })
      const endMs = performance.now() + SECONDS * 1_000
      const sender = setInterval(sendRound, SEND_EVERY_MS)
      while (performance.now() < endMs) {
        await sleep(random.between(1_000, 6_000))
        await causeOutage()
      }
      await sleep(RECOVERY_MS)
      clearInterval(sender)
      await sleep(TRANSIT_MS)
      const lost = [...sent.values()].filter(({ isReceived }) => !isReceived)
      const unexplained = lost.filter((one) => !isExplained(one))
      process.stderr.write(
        `fleet under ${outages.length - 1} outages: ${sent.size} packets, ${lost.length} lost, ${unexplained.length} unexplained\n`,
      )
      expect(
        unexplained.map(({ from, to, atMs }) => `${from.name} to ${to.name} at ${Math.round(atMs)}`),
      ).toEqual([])
      expect(sent.size).toBeGreaterThan(500)
    },
  )
})

function regionsText(relays: readonly Relay[]): string {
  const lines: string[] = []
  for (const [i, { name, region, port }] of relays.entries()) {
    if (i % RELAYS_PER_REGION === 0) lines.push(`  ${region}:`, `    code: r${region}`, '    nodes:')
    lines.push(`      - { name: ${name}, hostname: localhost, derpport: ${port}, mesh: 127.0.0.1 }`)
  }
  return ['regions:', ...lines, ''].join('\n')
}
