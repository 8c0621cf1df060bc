// All that Prometheus watches while its alerts are tested: a fleet of three regions; one of two regions that has a key directory; a
// relay that has its certificate from an authority, once a test starts it. With what they need: admission, NATS, the authority. All
// on loopback.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Generator } from '../../bench/load/generator-process.ts'
import { loginFile, newClients, serverKeyAt } from '../../bench/load/login-file.ts'
import { DEFAULT_OPTIONS } from '../../deploy/prometheus/rule.ts'
import { ruleFiles } from '../../deploy/prometheus/write.ts'
import { AcmeProxy } from '../support/acme-proxy.ts'
import { AcmeRelay } from '../support/acme-relay.ts'
import { NatsServers } from '../support/nats.ts'
import { Pebble } from '../support/pebble.ts'
import { freePort } from '../support/process.ts'
import { Prometheus, type Targets } from '../support/prometheus.ts'
import { VerifyServer } from '../support/verify-server.ts'
import { DERP_PORT, WatchedFleet } from './watched-fleet.ts'

const ACME_NAME = 'relay.example'

/** The rules' matcher of jobs: `derpfleet`, `derpfleet-large`, `derpfleet-acme`. */
const JOBS = 'derpfleet.*'
/** All durations of the rules are divided by it. */
const SCALE = 60

export interface LabPrograms {
  readonly 'nats-server': string
  readonly pebble: string
  readonly 'pebble-challtestsrv': string
}

interface Parts {
  readonly folder: string
  readonly verify: VerifyServer
  readonly largeVerify: VerifyServer
  readonly fleet: WatchedFleet
  readonly large: WatchedFleet
  readonly nats: NatsServers
  readonly pebble: Pebble
  readonly authority: AcmeProxy
  readonly prometheus: Prometheus
  readonly ports: { readonly tls: number; readonly http: number }
}

/** Rule files as the lab's Prometheus has them. */
export function quickRules(): Readonly<Record<string, string>> {
  return ruleFiles({ ...DEFAULT_OPTIONS, job: JOBS, scale: SCALE })
}

export class WatchedLab implements AsyncDisposable {
  /** Admission to the first fleet, and to the second one. */
  readonly verify: VerifyServer
  readonly largeVerify: VerifyServer
  /** Three regions; 900 has two relays. */
  readonly fleet: WatchedFleet
  /** Two regions with a key directory, and less load. */
  readonly large: WatchedFleet
  readonly nats: NatsServers
  /** What is between the relay and its authority. */
  readonly authority: AcmeProxy
  readonly prometheus: Prometheus
  readonly #parts: Parts
  #acme: AcmeRelay | undefined = undefined
  #files = 0

  private constructor(parts: Parts) {
    this.#parts = parts
    this.verify = parts.verify
    this.largeVerify = parts.largeVerify
    this.fleet = parts.fleet
    this.large = parts.large
    this.nats = parts.nats
    this.authority = parts.authority
    this.prometheus = parts.prometheus
  }

  static async start(programs: LabPrograms): Promise<WatchedLab> {
    const folder = await mkdtemp(join(tmpdir(), 'watched-lab-'))
    const [verify, largeVerify, nats] = await Promise.all([
      VerifyServer.start(),
      VerifyServer.start(),
      NatsServers.start(programs['nats-server'], { folder, names: ['EU'] }),
    ])
    const [fleet, large] = [
      await threeRegions(verify),
      await largeFleet({ folder, verify: largeVerify, nats }),
    ]
    const ports = { tls: await freePort(), http: await freePort() }
    const validated = { httpPort: ports.http, tlsPort: ports.tls }
    const pebble = await Pebble.start({ programs, folder, ...validated })
    const keyPath = join(folder, '127.0.0.1.key')
    const authority = await AcmeProxy.start(pebble.directoryUrl, { certPath: pebble.authorityPath, keyPath })
    const targets = targetsOf(fleet, large, undefined)
    const prometheus = await Prometheus.start(join(folder, 'prometheus'), targets, quickRules())
    const lab = new WatchedLab({
      folder,
      verify,
      largeVerify,
      fleet,
      large,
      nats,
      pebble,
      authority,
      prometheus,
      ports,
    })
    fleet.load({ clientsEach: 8, packetsPerSecond: 500 })
    large.load({ clientsEach: 3, packetsPerSecond: 10 })
    return lab
  }

  /** The relay with a certificate of the authority, which is watched from now on. Started once. */
  async acmeRelay(): Promise<AcmeRelay> {
    const { folder, authority, pebble, ports } = this.#parts
    this.#acme ??= await AcmeRelay.start({
      hostname: ACME_NAME,
      folder: join(folder, 'certificates'),
      keyPath: join(folder, 'derper.key'),
      directoryUrl: authority.directoryUrl,
      authorityPath: pebble.authorityPath,
      port: ports.tls,
      httpPort: ports.http,
      args: ['-acme-challenge', 'http-01'],
    })
    await this.watch()
    return this.#acme
  }

  /** Prometheus scrapes every relay again. */
  async watch(): Promise<void> {
    await this.prometheus.setTargets(targetsOf(this.fleet, this.large, this.#acme))
  }

  async watchNothing(): Promise<void> {
    await this.prometheus.setTargets({ derpfleet: [], 'derpfleet-large': [], 'derpfleet-acme': [] })
  }

  /** Starts the load generator with clients at a relay, until it is stopped. @param args of the generator */
  async generate(
    fleet: WatchedFleet,
    node: string,
    connections: number,
    args: readonly string[],
  ): Promise<Generator> {
    const address = fleet.address(node)
    const key = await serverKeyAt({ host: address, port: DERP_PORT, isPlain: false })
    const path = join(this.#parts.folder, `logins-${this.#files++}`)
    await writeFile(path, loginFile(key, newClients(connections)))
    const to = ['--addr', `${address}:${DERP_PORT}`, '--logins', path, '--secs', '3600']
    return await Generator.start([...to, ...args], '0-127')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { folder, verify, largeVerify, fleet, large, nats, pebble, authority, prometheus } = this.#parts
    for (const part of [prometheus, this.#acme, fleet, large, authority, pebble, nats, verify, largeVerify])
      await part?.[Symbol.asyncDispose]()
    await rm(folder, { recursive: true, force: true })
  }
}

function targetsOf(fleet: WatchedFleet, large: WatchedFleet, acme: AcmeRelay | undefined): Targets {
  const of = (one: WatchedFleet): readonly string[] => one.nodes.map((node) => one.admin(node))
  const acmes = acme === undefined ? [] : [acme.admin]
  return { derpfleet: of(fleet), 'derpfleet-large': of(large), 'derpfleet-acme': acmes }
}

async function threeRegions({ url }: VerifyServer): Promise<WatchedFleet> {
  return await WatchedFleet.start({
    net: 2,
    nodes: ['900a', '900b', '901a', '902a'],
    verifyUrl: url,
    // The others remember whom they have admitted, so an outage of the verifier leaves them ready.
    argsOf: { '901a': ['-admission-grace', '40s'], '902a': ['-admission-grace', '0s'] },
    leased: '900a',
  })
}

async function largeFleet(parts: {
  readonly folder: string
  readonly verify: VerifyServer
  readonly nats: NatsServers
}): Promise<WatchedFleet> {
  const secretPath = join(parts.folder, 'nats-secret')
  await writeFile(secretPath, 'cd'.repeat(32), { mode: 0o600 })
  const drain = ['-drain-settle', '10m']
  const open = ['-verify-client-url-fail-open']
  const limits = ['-accept-connection-limit', '50', '-accept-connection-burst', '300']
  return await WatchedFleet.start({
    net: 3,
    nodes: ['910a', '911a'],
    verifyUrl: parts.verify.url,
    args: ['-nats-url', parts.nats.url('EU'), '-nats-secret-file', secretPath],
    argsOf: { '910a': drain, '911a': [...open, ...limits] },
    descriptorsOf: { '911a': 256 },
  })
}
