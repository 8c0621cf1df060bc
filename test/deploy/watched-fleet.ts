// A loaded fleet on loopback, as Prometheus watches it: each relay at an address of its own, with files of its own, so that a test
// can spoil those of one relay. Clients send to each other and ask for STUN.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { copyFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { ReconnectingDerpClient } from '#client/reconnecting-derp-client.ts'
import { askStun } from '#client/stun-request.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { leaseKeyText, leaseText } from '#protocol/lease.ts'
import {
  issueCertificate,
  makeAuthority,
  reissueCertificate,
  type Certificate,
  type Life,
} from '../support/certificate.ts'
import { DAY_MS } from '../config/certificates.ts'
import { freePort, startProcess, tail, type RunningProcess } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'

export const DERP_PORT = 8_443
const STUN_PORT = 3_478
const PACKET_BYTES = 600
const SENDS_PER_SECOND = 10

/** A relay is down after 13 s of silence, and the map follows at once. */
const QUICK = ['-state-interval', '1s', '-map-removal', '1s', '-map-return', '1s']

const PLACES: Readonly<Record<string, string>> = {
  '900': 'code: fra, name: Frankfurt, latitude: 50.11, longitude: 8.68',
  '901': 'code: nyc, name: New York, latitude: 40.71, longitude: -74.01',
  '902': 'code: syd, name: Sydney, latitude: -33.87, longitude: 151.21',
  '910': 'code: ham, name: Hamburg, latitude: 53.55, longitude: 9.99',
  '911': 'code: gru, name: São Paulo, latitude: -23.55, longitude: -46.63',
}

const LEASE = 'members.lease'

const TROUBLED_THREAD = join(import.meta.dirname, '../support/troubled-thread.ts')

export interface FleetOptions {
  /** The relays are at 127.0.N.1 and the following addresses. */
  readonly net: number
  /** Names of three digits of the region, and a letter. */
  readonly nodes: readonly string[]
  readonly verifyUrl: string
  /** Further options of every relay, and of some by their names. */
  readonly args?: readonly string[]
  readonly argsOf?: Readonly<Record<string, readonly string[]>>
  /** The relay that goes by a lease as well. */
  readonly leased?: string
  /** File descriptors that some relays may have. */
  readonly descriptorsOf?: Readonly<Record<string, number>>
}

export interface FleetLoad {
  readonly clientsEach: number
  readonly packetsPerSecond: number
}

/** What two relays of one name do not share. */
interface OwnNames {
  readonly key: string
  readonly state: string
  readonly admin: string
  readonly address: string
}

/** How a relay differs from the others of its fleet. */
export interface StartOptions {
  /** Another mesh key than the others have. */
  readonly psk?: string
  readonly program?: string
  /** Further options. */
  readonly more?: readonly string[]
}

export class WatchedFleet implements AsyncDisposable {
  readonly folder: string
  readonly nodes: readonly string[]
  readonly #options: FleetOptions
  readonly #authority: Certificate
  readonly #running = new Map<string, RunningProcess>()
  readonly #admin = new Map<string, string>()
  readonly #clients: { readonly node: string; readonly client: ReconnectingDerpClient }[] = []
  readonly #timers: NodeJS.Timeout[] = []
  readonly #leaseSigner = generateKeyPairSync('ed25519').privateKey
  #leases = 0

  private constructor(options: FleetOptions, folder: string, authority: Certificate) {
    this.folder = folder
    this.nodes = options.nodes
    this.#options = options
    this.#authority = authority
  }

  static async start(options: FleetOptions): Promise<WatchedFleet> {
    const folder = await mkdtemp(join(tmpdir(), 'watched-'))
    const fleet = new WatchedFleet(options, folder, await makeAuthority(folder, 'authority'))
    for (const name of ['psk', 'token'])
      await writeFile(join(folder, name), randomBytes(32).toString('hex'), { mode: 0o600 })
    for (const node of options.nodes) {
      fleet.#admin.set(node, `127.0.0.1:${await freePort()}`)
      await mkdir(fleet.path(node, ''))
      await fleet.issueCertificate(node)
      await writeFile(fleet.path(node, 'key.json'), formatKeyFile(newKeyPair()), { mode: 0o600 })
    }
    await fleet.makeLease()
    await Promise.all(options.nodes.map(async (node) => await fleet.startRelay(node)))
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
    const ids = [...new Set(this.nodes.map((node) => node.slice(0, 3)))]
    const regions = ids.map((id) => {
      const nodes = this.nodes
        .filter((node) => node.startsWith(id))
        .map((node) => {
          const address = this.address(node)
          return `      - { name: ${node}, hostname: ${node}.lab, ipv4: ${address}, mesh: ${address}, derpport: ${DERP_PORT} }\n`
        })
      return `  ${id}:\n    ${PLACES[id]?.replaceAll(', ', '\n    ')}\n    nodes:\n${nodes.join('')}`
    })
    return `regions:\n${regions.join('')}`
  }

  /** Gives a relay a new certificate, which it reads at its start. */
  async issueCertificate(node: string): Promise<void> {
    await issueCertificate(this.path(node, ''), `${node}.lab`, this.#authority)
  }

  /** Replaces a relay's certificate by one of another life; the relay sees it within a second. */
  async replaceCertificate(node: string, life: Life): Promise<void> {
    await reissueCertificate(this.path(node, ''), `${node}.lab`, this.#authority, life)
  }

  /** Makes the next lease, for a day if nothing else is said. The relay that goes by leases sees it within seconds. */
  async makeLease(
    { fromMs, untilMs }: Life = { fromMs: Date.now(), untilMs: Date.now() + DAY_MS },
  ): Promise<void> {
    const { leased } = this.#options
    if (leased === undefined) return
    const { publicKey: key } = newKeyPair()
    const member = { key, isAllowed: true, tenant: undefined, untilMs, name: undefined }
    const content = { serial: ++this.#leases, notBeforeMs: fromMs, notAfterMs: untilMs, entries: [member] }
    const path = this.path(leased, LEASE)
    await writeFile(`${path}.new`, leaseText(content, this.#leaseSigner))
    await rename(`${path}.new`, path)
  }

  /** Starts a relay, or starts it again, with good files. */
  async startRelay(node: string, { psk, program = PROGRAM, more = [] }: StartOptions = {}): Promise<void> {
    await copyFile(join(this.folder, 'psk'), this.path(node, 'psk'))
    if (psk !== undefined) await writeFile(this.path(node, 'psk'), psk)
    await writeFile(this.path(node, 'regions.yaml'), this.regionsText)
    const own = { key: 'key.json', state: 'state', admin: this.admin(node), address: this.address(node) }
    const descriptors = this.#options.descriptorsOf?.[node]
    const limited = descriptors === undefined ? [] : ['prlimit', `--nofile=${descriptors}:${descriptors}`]
    const [command, ...before] = [...limited, program]
    const env = { NODE_OPTIONS: `--import ${TROUBLED_THREAD}`, TROUBLE_FOLDER: this.path(node, '') }
    const running = await startProcess(command, [...before, ...this.#argsOf(node, own), ...more], {
      env,
      readyWhen: /"relay_started"/,
    })
    this.#running.set(node, running)
  }

  /** Starts a second relay, with a key of its own, that takes itself for that one. */
  async startDouble(node: string): Promise<RunningProcess> {
    await writeFile(this.path(node, 'double.json'), formatKeyFile(newKeyPair()), { mode: 0o600 })
    const address = `127.0.${this.#options.net}.100`
    const own = { key: 'double.json', state: 'double-state', admin: `127.0.0.1:${await freePort()}`, address }
    return await startProcess(PROGRAM, this.#argsOf(node, own), { readyWhen: /"relay_started"/ })
  }

  #argsOf(node: string, own: OwnNames): string[] {
    const file = (name: string): string => this.path(node, name)
    const { args = [], argsOf = {}, verifyUrl } = this.#options
    const at = ['-a', `${own.address}:${DERP_PORT}`, '-stun-port', `${STUN_PORT}`, '-http-port', '-1']
    const identity = ['-c', file(own.key), '-hostname', `${node}.lab`, '-node', node, '-threads', '1']
    const trust = ['-certmode', 'manual', '-certdir', file('')]
    const mesh = ['-mesh-psk-file', file('psk'), '-regions-file', file('regions.yaml')]
    const verbs = ['-verbs-token-file', join(this.folder, 'token')]
    const rest = ['-admin', own.admin, '-state-dir', file(own.state), '-capacity-bits', '1000000000']
    const admission = ['-verify-client-url', verifyUrl, '-mesh-ca-file', this.#authority.certPath]
    const lease = ['-lease-file', file(LEASE), '-lease-key', leaseKeyText(this.#leaseSigner)]
    const leases = node === this.#options.leased ? lease : []
    const further = [...QUICK, ...leases, ...args, ...(argsOf[node] ?? [])]
    return ['serve', ...at, ...identity, ...trust, ...mesh, ...verbs, ...rest, ...admission, ...further]
  }

  async kill(node: string): Promise<void> {
    this.signal(node, 'SIGKILL')
    await this.ended(node)
  }

  /** One relay thread dies. */
  async killThread(node: string): Promise<void> {
    await writeFile(this.path(node, 'fault-relay'), '')
  }

  signal(node: string, signal: NodeJS.Signals): void {
    this.#running.get(node)?.signal(signal)
  }

  /** What relays said that have ended, for messages. */
  get ends(): string {
    const ended = [...this.#running].filter(([, { exit }]) => exit !== undefined)
    return ended
      .map(([node, { exit, output }]) => `${node}: ${JSON.stringify(exit)}\n${tail(output)}`)
      .join('\n')
  }

  /** Resolves when the process has ended. */
  async ended(node: string): Promise<void> {
    await this.#running.get(node)?.exited
  }

  /** The address of its DERP port. */
  address(node: string): string {
    return `127.0.${this.#options.net}.${this.nodes.indexOf(node) + 1}`
  }

  /** How clients reach it. */
  target(node: string) {
    const tls = { isInsecure: true } as const
    return { host: `${node}.lab`, dialAddress: this.address(node), port: DERP_PORT, tls }
  }

  /** Clients at home at each relay, which send to each other, and requests to its STUN. */
  load({ clientsEach, packetsPerSecond }: FleetLoad): void {
    for (const node of this.nodes) {
      for (let n = 0; n < clientsEach; n++) this.#clients.push({ node, client: this.#newClient(node) })
    }
    for (const { client } of this.#clients) client.start()
    this.#timers.push(
      setInterval(() => this.#send(packetsPerSecond / SENDS_PER_SECOND), 1_000 / SENDS_PER_SECOND),
      setInterval(() => {
        for (const node of this.nodes) {
          askStun(this.address(node), STUN_PORT, 500).catch(() => undefined)
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

  /** A client that comes, sends to a peer that has left, and goes. */
  async #logIn(node: string): Promise<void> {
    const client = await DerpClient.connect({ ...this.target(node), key: newKeyPair() }).catch(
      () => undefined,
    )
    client?.send(newKeyPair().publicKey, new Uint8Array(PACKET_BYTES))
    await client?.close()
  }

  #newClient(node: string): ReconnectingDerpClient {
    const target = this.target(node)
    return new ReconnectingDerpClient({
      key: newKeyPair(),
      host: target.host,
      tls: target.tls,
      isPreferred: true,
      findTarget: async () => await Promise.resolve(target),
    })
  }

  #send(count: number): void {
    const packet = new Uint8Array(PACKET_BYTES)
    const any = () => this.#clients[Math.floor(Math.random() * this.#clients.length)]?.client
    for (let n = 0; n < count; n++) {
      const [from, to] = [any(), any()]
      if (from !== undefined && to !== undefined && from !== to) from.send(to.publicKey, packet)
    }
  }
}
