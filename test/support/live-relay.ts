// A real relay in the test's process, built as the program builds it: threads, sockets and TLS, on free ports of the
// loopback interface. A test gives only the settings that matter to it.

import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RunningRelay } from '#control/running-relay.ts'
import { startRelay } from '#control/start-relay.ts'
import { DerpClient, newKeyPair, type ClientOptions } from '#client/derp-client.ts'
import type { AdmissionSettings, MeshSettings, Settings } from '#config/settings.ts'
import { listedSibling, type Sibling } from '#fleet/sibling.ts'
import { keyPairFrom } from '#protocol/node-key.ts'
import { NO_ADDRESS_RULES, NO_BUDGETS, NO_MONTH_RULE, type RelayLimits } from '#protocol/relay-limits.ts'
import { DAY_MS, makePair } from '../config/certificates.ts'

export const LIMITS: RelayLimits = {
  outboxBytesMax: 524_288,
  outboxPacketsMax: Infinity,
  waitingBytesMax: 268_435_456,
  memoryBytesMax: Infinity,
  writeTimeoutMs: 2_000,
  rate: undefined,
  budgets: NO_BUDGETS,
  addresses: NO_ADDRESS_RULES,
  month: NO_MONTH_RULE,
  acceptsPerSecond: Infinity,
  acceptBurst: Infinity,
  keepAlive: { minMs: 60_000, maxMs: 65_000 },
  tcpKeepaliveMs: 600_000,
  tcpUserTimeoutMs: 15_000,
}

export const NO_MESH: MeshSettings = {
  siblings: [],
  dnsNames: [],
  regionsPath: undefined,
  regions: [],
  mapKey: undefined,
  mapHoldDowns: { removalMs: 60_000, returnMs: 120_000 },
  isMapServed: false,
  stateEveryMs: 5_000,
  region: undefined,
  node: undefined,
  nats: undefined,
  rebalancePerSecond: 0,
  ca: undefined,
}

/** The way of TLS of all tests in which the relay is not asked for one. Programs read the same variable. */
const CONNECTIONS = (process.env['DERPFLEET_CONNECTIONS'] ?? 'auto') as Settings['connections']

const OPEN: AdmissionSettings = {
  isOpen: true,
  verifyUrl: undefined,
  verifyUrlFailOpen: false,
  tailscaledSocket: undefined,
  allowKeysPath: undefined,
  isolatesTenants: false,
  lease: undefined,
  graceMs: 86_400_000,
  trustsSiblings: false,
  recheckMs: 300_000,
  kicksFrom: [],
}

/** Clients are checked by a URL, or by what `more` says. */
export function checkedBy(
  verifyUrl: string | undefined,
  more: Partial<AdmissionSettings> = {},
): AdmissionSettings {
  return { ...OPEN, isOpen: false, verifyUrl, ...more }
}

/** The mesh key of test relays. */
export const MESH_KEY = new Uint8Array(32).fill(7)

/** The sibling entry of a relay on this host with a certificate for localhost. */
export function siblingAt(port: number): Sibling {
  return listedSibling(`localhost:${port}`, 'localhost', port, '127.0.0.1')
}

/** A running relay with its certificate folder and its clients. */
export class LiveRelay implements AsyncDisposable {
  readonly settings: Settings
  readonly #running: RunningRelay
  readonly #folder: string
  readonly #clients: DerpClient[] = []

  private constructor(settings: Settings, running: RunningRelay, folder: string) {
    this.settings = settings
    this.#running = running
    this.#folder = folder
  }

  /** @param certificateMs remaining validity of its certificate */
  static async start(wanted: Partial<Settings> = {}, certificateMs = 90 * DAY_MS): Promise<LiveRelay> {
    const folder = mkdtempSync(join(tmpdir(), 'live-relay-'))
    const settings = settingsIn(folder, certificateMs, wanted)
    return new LiveRelay(settings, await startRelay(settings), folder)
  }

  get addresses(): RunningRelay['addresses'] {
    return this.#running.addresses
  }

  /** Moves its clients away; it is not stopped. */
  async drain(): Promise<void> {
    await this.#running.drain()
  }

  /** Settles when the relay has failed by itself. */
  get failed(): Promise<Error> {
    return this.#running.failed
  }

  get port(): number {
    return this.#running.addresses.derp.port
  }

  /** How a client reaches the relay: with TLS if it serves TLS, unverified. */
  target(): { host: string; port: number; tls: { isInsecure: true } | false } {
    const tls = this.settings.certificate === undefined ? false : ({ isInsecure: true } as const)
    return { host: '127.0.0.1', port: this.port, tls }
  }

  /** A client that has logged in; it is closed with the relay. */
  async client(options: Partial<ClientOptions> = {}): Promise<DerpClient> {
    const client = await DerpClient.connect({ ...this.target(), key: newKeyPair(), ...options })
    this.#clients.push(client)
    return client
  }

  /** A page of the admin port, which the relay must have. */
  async page(path: string): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${this.addresses.admin?.port}${path}`)).text()
  }

  /** The values of the matching series on the metrics page, by series. */
  async samples(series: RegExp): Promise<Map<string, number>> {
    const lines = (await this.page('/metrics')).split('\n').filter((line) => !line.startsWith('#'))
    const pairs = lines.map((line): [string, number] => {
      const at = line.lastIndexOf(' ')
      return [line.slice(0, at), Number(line.slice(at + 1))]
    })
    return new Map(pairs.filter(([key]) => series.test(key)))
  }

  /** Whether a client with that mesh key is admitted as a sibling, on the thread that it happens to reach. */
  async admitsMeshKey(meshKey: Uint8Array): Promise<boolean> {
    const client = await this.client({ meshKey })
    const outcome = Promise.race([
      client.next('peerPresent').then(() => true),
      new Promise<boolean>((resolve) => void client.on('closed', () => resolve(false))),
    ]).catch(() => false)
    client.watch()
    const isAdmitted = await outcome
    await client.close()
    return isAdmitted
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#clients.map(async (client) => await client.close()))
    await this.#running.stop()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

function settingsIn(folder: string, certificateMs: number, wanted: Partial<Settings>): Settings {
  return {
    nodeKey: keyPairFrom(randomBytes(32)),
    meshKeys: [MESH_KEY],
    meshKeyPath: undefined,
    mesh: NO_MESH,
    stateFolder: undefined,
    derp: { host: '127.0.0.1', port: 0 },
    http: undefined,
    stun: undefined,
    lane: undefined,
    admin: undefined,
    verbsToken: undefined,
    hostname: 'localhost',
    isTls: !('certificate' in wanted) || wanted.certificate !== undefined,
    acme: undefined,
    certificate: makeCertificateFiles(folder, certificateMs),
    tlsMaxVersion: 'TLSv1.3',
    isDerpEnabled: true,
    threadCount: 1,
    native: 'auto',
    pollIntervalMs: 1,
    connections: CONNECTIONS,
    admission: OPEN,
    disallowedAppNames: [],
    limits: LIMITS,
    home: { kind: 'page' },
    drain: { settleMs: 0, spreadMs: 0, scrapeWaitMs: 0 },
    measure: { countries: false, isRankingServed: false, capacityBits: undefined },
    adminNames: [],
    isStatusPublic: false,
    bootstrapDnsNames: [],
    logLevel: 'error',
    shown: { keys: 'short', addresses: 'full' },
    warnings: [],
    ...wanted,
  }
}

function makeCertificateFiles(
  folder: string,
  certificateMs: number,
): { certificatePath: string; keyPath: string } {
  const nowMs = Date.now()
  const pair = makePair(['localhost', '127.0.0.1'], nowMs - DAY_MS, nowMs + certificateMs)
  const paths = { certificatePath: join(folder, 'localhost.crt'), keyPath: join(folder, 'localhost.key') }
  writeFileSync(paths.certificatePath, pair.certificate)
  writeFileSync(paths.keyPath, pair.key)
  return paths
}
