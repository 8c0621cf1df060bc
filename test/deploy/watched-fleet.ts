// A loaded fleet of three regions on loopback, as Prometheus watches it: each relay at an address of its own, with files of its
// own, so that a test can spoil those of one relay. Clients send to each other and ask for STUN.

import { randomBytes } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { ReconnectingDerpClient } from '#client/reconnecting-derp-client.ts'
import { askStun } from '#client/stun-request.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { issueCertificate, makeAuthority, type Certificate } from '../support/certificate.ts'
import { freePort, startProcess, type RunningProcess } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'

const DERP_PORT = 8_443
const STUN_PORT = 3_478
const PACKET_BYTES = 600

/** A relay is down after 13 s of silence, and the map follows at once. */
const QUICK = ['-state-interval', '1s', '-map-removal', '1s', '-map-return', '1s']

const PLACES: Readonly<Record<string, string>> = {
  '900': 'code: fra, name: Frankfurt, latitude: 50.11, longitude: 8.68',
  '901': 'code: nyc, name: New York, latitude: 40.71, longitude: -74.01',
  '902': 'code: syd, name: Sydney, latitude: -33.87, longitude: 151.21',
}

export class WatchedFleet implements AsyncDisposable {
  readonly folder: string
  readonly nodes: readonly string[]
  readonly #authority: Certificate
  readonly #verifyUrl: string
  readonly #running = new Map<string, RunningProcess>()
  readonly #admin = new Map<string, string>()
  readonly #clients: { readonly node: string; readonly client: ReconnectingDerpClient }[] = []
  readonly #timers: NodeJS.Timeout[] = []

  private constructor(parts: {
    folder: string
    nodes: readonly string[]
    authority: Certificate
    verifyUrl: string
  }) {
    this.folder = parts.folder
    this.nodes = parts.nodes
    this.#authority = parts.authority
    this.#verifyUrl = parts.verifyUrl
  }

  /** @param nodes three digits of the region, and a letter */
  static async start(nodes: readonly string[], verifyUrl: string): Promise<WatchedFleet> {
    const folder = await mkdtemp(join(tmpdir(), 'watched-'))
    const authority = await makeAuthority(folder, 'authority')
    const fleet = new WatchedFleet({ folder, nodes, authority, verifyUrl })
    await writeFile(join(folder, 'psk'), randomBytes(32).toString('hex'), { mode: 0o600 })
    for (const node of nodes) {
      fleet.#admin.set(node, `127.0.0.1:${await freePort()}`)
      await mkdir(join(folder, node))
      await issueCertificate(join(folder, node), `${node}.lab`, authority)
      await writeFile(join(folder, node, 'key.json'), formatKeyFile(newKeyPair()), { mode: 0o600 })
    }
    await Promise.all(nodes.map(async (node) => await fleet.startRelay(node)))
    return fleet
  }

  /** The address of the relay's admin port. */
  admin(node: string): string {
    return this.#admin.get(node) ?? ''
  }

  path(node: string, name: string): string {
    return join(this.folder, node, name)
  }

  get regionsText(): string {
    const regions = Object.keys(PLACES).map((id) => {
      const nodes = this.nodes
        .filter((node) => node.startsWith(id))
        .map((node) => {
          const address = this.#address(node)
          return `      - { name: ${node}, hostname: ${node}.lab, ipv4: ${address}, mesh: ${address}, derpport: ${DERP_PORT} }\n`
        })
      return `  ${id}:\n    ${PLACES[id]?.replaceAll(', ', '\n    ')}\n    nodes:\n${nodes.join('')}`
    })
    return `regions:\n${regions.join('')}`
  }

  /** Starts a relay, or starts it again, with good files. @param psk another mesh key than the others have */
  async startRelay(node: string, psk?: string): Promise<void> {
    const file = (name: string): string => this.path(node, name)
    await copyFile(join(this.folder, 'psk'), file('psk'))
    if (psk !== undefined) await writeFile(file('psk'), psk)
    await writeFile(file('regions.yaml'), this.regionsText)
    const at = ['-a', `${this.#address(node)}:${DERP_PORT}`, '-stun-port', `${STUN_PORT}`, '-http-port', '-1']
    const identity = ['-c', file('key.json'), '-hostname', `${node}.lab`, '-node', node, '-threads', '1']
    const trust = ['-certmode', 'manual', '-certdir', join(this.folder, node)]
    const mesh = ['-mesh-psk-file', file('psk'), '-regions-file', file('regions.yaml')]
    const own = ['-admin', this.admin(node), '-state-dir', file('state'), '-capacity-bits', '1000000000']
    const admission = ['-verify-client-url', this.#verifyUrl, '-mesh-ca-file', this.#authority.certPath]
    const args = ['serve', ...at, ...identity, ...trust, ...mesh, ...own, ...admission, ...QUICK]
    this.#running.set(node, await startProcess(PROGRAM, args, { readyWhen: /"relay_started"/ }))
  }

  async kill(node: string): Promise<void> {
    this.signal(node, 'SIGKILL')
    await this.#running.get(node)?.exited
  }

  signal(node: string, signal: NodeJS.Signals): void {
    this.#running.get(node)?.signal(signal)
  }

  output(node: string): string {
    return this.#running.get(node)?.output ?? ''
  }

  /** Clients at home at each relay, which send to each other, and requests to its STUN. */
  load(clientsEach: number): void {
    for (const node of this.nodes) {
      for (let n = 0; n < clientsEach; n++) this.#clients.push({ node, client: this.#newClient(node) })
    }
    for (const { client } of this.#clients) client.start()
    this.#timers.push(
      setInterval(() => this.#send(), 20),
      setInterval(() => {
        for (const node of this.nodes) {
          askStun(this.#address(node), STUN_PORT, 500).catch(() => undefined)
          void this.#logIn(node)
        }
      }, 500),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    await Promise.all(this.#clients.map(async ({ client }) => await client.close()))
    await Promise.all([...this.#running.values()].map(async (one) => await one.stop()))
    await rm(this.folder, { recursive: true, force: true })
  }

  #address(node: string): string {
    return `127.0.2.${this.nodes.indexOf(node) + 1}`
  }

  #target(node: string) {
    const tls = { isInsecure: true } as const
    return { host: `${node}.lab`, dialAddress: this.#address(node), port: DERP_PORT, tls }
  }

  /** A client that comes and goes. */
  async #logIn(node: string): Promise<void> {
    const client = await DerpClient.connect({ ...this.#target(node), key: newKeyPair() }).catch(
      () => undefined,
    )
    await client?.close()
  }

  #newClient(node: string): ReconnectingDerpClient {
    const target = this.#target(node)
    return new ReconnectingDerpClient({
      key: newKeyPair(),
      host: target.host,
      tls: target.tls,
      isPreferred: true,
      findTarget: async () => await Promise.resolve(target),
    })
  }

  #send(): void {
    const packet = new Uint8Array(PACKET_BYTES)
    const any = () => this.#clients[Math.floor(Math.random() * this.#clients.length)]?.client
    for (let n = 0; n < 10; n++) {
      const [from, to] = [any(), any()]
      if (from !== undefined && to !== undefined && from !== to) from.send(to.publicKey, packet)
    }
  }
}
