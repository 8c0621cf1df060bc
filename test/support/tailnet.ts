// A tailnet of unmodified programs, on loopback or on hosts of a lab: Headscale and two tailscaled (alice and bob),
// which may not use direct paths. Its DERP map has the one relay at a given address, or the relays of a given map. All
// files are in a temporary folder, all ports are free ones, and disposal removes everything. Errors contain the last
// lines of the logs.

import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { access, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { foreign, type ForeignName } from './foreign.ts'
import { startHeadscale, type Control } from './headscale.ts'
import type { LabHost } from './lab.ts'
import { freePort, type RunningProcess, runOk, startProcess, tail, waitUntil } from './process.ts'
import { ResourceStack } from './resource-stack.ts'

/** The only region of the tailnet; 900 to 999 are reserved for users. */
const region = { id: 900, code: 'lab', name: 'Laboratory' } as const

/** A relay for the tailnet's DERP map. */
export type RelayAddress = {
  /** An IPv4 address. The host name is always localhost. */
  readonly host: string
  readonly port: number
  readonly stunPort: number
  /** Pins the certificate: SHA-256 of its DER in lower-case hex. */
  readonly certSha256: string
}

/** The hosts of a tailnet in a lab, and its settings. */
export type LabSettings = {
  /** The address that Headscale listens on: one of this machine that the hosts can reach. */
  readonly controlAddress: string
  readonly hosts: { readonly alice: LabHost; readonly bob: LabHost }
  /** In Headscale's format: every key in lower case, the regions' numbers as keys of a Map. */
  readonly derpMap: object
  /** The code of the region that both clients have to choose as home. */
  readonly homeRegion: string
  /** The authority that signs the relays' certificates. */
  readonly caPath: string
}

export type PeerStatus = {
  readonly relay: string
  /** The address of the direct path, or empty. */
  readonly directAddress: string
  readonly rxBytes: number
}

export type Netcheck = {
  readonly udp: boolean
  readonly nearestRegion: number
  /** Nanoseconds by region. */
  readonly latencies: ReadonlyMap<number, number>
}

export type RegionReport = {
  readonly infos: readonly string[]
  readonly warnings: readonly string[]
  readonly errors: readonly string[]
}

/** One tailscaled with its command line. */
export class Client implements AsyncDisposable {
  readonly name: string
  /** The address of its SOCKS5 proxy. */
  readonly socks5Host: string
  readonly socks5Port: number
  readonly host: LabHost | undefined
  readonly #daemon: RunningProcess
  readonly #program: string
  readonly #folder: string
  readonly #socketPath: string

  private constructor(name: string, daemon: RunningProcess, options: ClientOptions, socks5Port: number) {
    this.name = name
    this.host = options.host
    this.socks5Host = options.host?.address ?? '127.0.0.1'
    this.socks5Port = socks5Port
    this.#daemon = daemon
    this.#program = options.programs.tailscale
    this.#folder = join(options.folder, name)
    this.#socketPath = join(this.#folder, 'socket')
  }

  static async start(name: string, options: ClientOptions): Promise<Client> {
    const folder = join(options.folder, name)
    const socketPath = join(folder, 'socket')
    const socks5Port = await freePort()
    const { host, env = {}, programs } = options
    await mkdir(folder)
    const place = [`--statedir=${folder}`, `--socket=${socketPath}`, '--port=0']
    const mode = [
      '--tun=userspace-networking',
      '--no-logs-no-support',
      `--socks5-server=${host?.address ?? '127.0.0.1'}:${socks5Port}`,
    ]
    const [command, args] = host?.command(programs.tailscaled, ...mode, ...place) ?? [
      programs.tailscaled,
      [...mode, ...place],
    ]
    const daemon = await startProcess(command, args, {
      env: { TS_DEBUG_ALWAYS_USE_DERP: '1', ...env },
      readyWhen: () => exists(socketPath),
    })
    return new Client(name, daemon, options, socks5Port)
  }

  /** Runs `tailscale …` against this client and returns its standard output. */
  async run(...args: readonly string[]): Promise<string> {
    try {
      return await runOk(this.#program, [`--socket=${this.#socketPath}`, ...args])
    } catch (error) {
      throw new Error(`${this.name}: tailscale ${args.join(' ')} failed\n${this.log()}`, { cause: error })
    }
  }

  /** Logs in to a control server; returns once the client is running. */
  async logIn(controlUrl: string, authKey: string): Promise<void> {
    const login = [`--login-server=${controlUrl}`, `--authkey=${authKey}`]
    await this.run('up', ...login, `--hostname=${this.name}`, '--timeout=50s')
  }

  /** This client's IPv4 address in the tailnet. */
  async address(): Promise<string> {
    return (await this.run('ip', '-4')).trim()
  }

  /** This client's node key, `nodekey:<hex>`. */
  async nodeKey(): Promise<string> {
    return text(field(await this.#status(), 'Self'), 'PublicKey')
  }

  /** Its private key, `privkey:<hex>`, as a copy of this machine has it, too. */
  async privateNodeKey(): Promise<string> {
    const state = record(JSON.parse(await readFile(join(this.#folder, 'tailscaled.state'), 'utf8')))
    const texts = Object.values(state).map((value) => Buffer.from(String(value), 'base64').toString())
    const [, key] = /"PrivateNodeKey":\s*"(privkey:[\da-f]{64})"/.exec(texts.join('\n')) ?? []
    if (key === undefined) throw new Error(`${this.name} keeps no node key`)
    return key
  }

  /** What this client says is wrong, as its user sees it. */
  async healthProblems(): Promise<readonly string[]> {
    const problems = field(await this.#status(), 'Health')
    return Array.isArray(problems) ? problems.map(String) : []
  }

  /** The code of the region that this client has chosen as home; empty before it has chosen one. */
  async homeRegion(): Promise<string> {
    return text(field(await this.#status(), 'Self'), 'Relay')
  }

  /** The status of this client's only peer; undefined while it has none. */
  async peer(): Promise<PeerStatus | undefined> {
    const [peer] = Object.values(record(field(await this.#status(), 'Peer') ?? {}))
    if (peer === undefined) return undefined
    const rxBytes = Number(field(peer, 'RxBytes'))
    return { relay: text(peer, 'Relay'), directAddress: text(peer, 'CurAddr'), rxBytes }
  }

  async netcheck(): Promise<Netcheck> {
    const report: unknown = JSON.parse(await this.run('netcheck', '--format=json'))
    const latencies = Object.entries(record(field(report, 'RegionLatency') ?? {}))
    return {
      udp: field(report, 'UDP') === true,
      nearestRegion: Number(field(report, 'PreferredDERP')),
      latencies: new Map(latencies.map(([id, nanoseconds]) => [Number(id), Number(nanoseconds)])),
    }
  }

  /** `tailscale debug derp` for the tailnet's region. */
  async debugRegion(): Promise<RegionReport> {
    const report: unknown = JSON.parse(await this.run('debug', 'derp', `${region.id}`))
    const lines = (name: string): string[] => Object.values(record(field(report, name) ?? {})).map(String)
    return { infos: lines('Info'), warnings: lines('Warnings'), errors: lines('Errors') }
  }

  /** The end of the daemon's log, for messages. */
  log(): string {
    return `--- end of ${this.name}'s log:\n${tail(this.#daemon.output)}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon.stop()
  }

  async #status(): Promise<unknown> {
    return JSON.parse(await this.run('status', '--json'))
  }
}

type ClientOptions = {
  readonly folder: string
  /** The host that it runs on; by default this machine. */
  readonly host?: LabHost
  readonly env?: NodeJS.ProcessEnv
  readonly programs: { readonly tailscale: string; readonly tailscaled: string }
}

/** Headscale, alice and bob. Both clients are logged in, know each other, and have the relay as home. */
export class Tailnet implements AsyncDisposable {
  readonly alice: Client
  readonly bob: Client
  readonly headscaleUrl: string
  readonly #headscale: RunningProcess
  readonly #stack: ResourceStack

  constructor(clients: { alice: Client; bob: Client }, control: Control, stack: ResourceStack) {
    this.alice = clients.alice
    this.bob = clients.bob
    this.headscaleUrl = control.url
    this.#headscale = control.server
    this.#stack = stack
  }

  /** Sends random bytes from bob's 127.0.0.1 to this process through alice's SOCKS5 proxy. */
  async transfer(bytes: number): Promise<Transfer> {
    const content = await serveContent(bytes, this.bob.host)
    try {
      const to = { host: await this.bob.address(), port: content.port }
      const startedMs = performance.now()
      const socket = await connectThroughSocks5(this.alice, to)
      const hash = createHash('sha256')
      let receivedBytes = 0
      for await (const chunk of socket as AsyncIterable<Buffer>) {
        hash.update(chunk)
        receivedBytes += chunk.length
      }
      const seconds = (performance.now() - startedMs) / 1_000
      return { sent: content.sha256, received: hash.digest('hex'), receivedBytes, seconds }
    } catch (error) {
      throw new Error(`transfer failed\n${this.alice.log()}\n${this.bob.log()}`, { cause: error })
    } finally {
      await content.process.stop()
    }
  }

  /** Stops the control server for good. */
  async stopControl(): Promise<void> {
    await this.#headscale.stop()
  }

  /** Returns the response of Headscale's admission endpoint for a node key (`nodekey:<hex>`). */
  async verify(nodeKey: string): Promise<boolean> {
    const response = await fetch(`${this.headscaleUrl}/verify`, {
      method: 'POST',
      body: JSON.stringify({ NodePublic: nodeKey, Source: '127.0.0.1' }),
    })
    return field(await response.json(), 'Allow') === true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]()
  }
}

type Transfer = {
  readonly sent: string
  readonly received: string
  readonly receivedBytes: number
  readonly seconds: number
}

/** Starts a program on a host that sends random bytes on every connection to its 127.0.0.1. */
async function serveContent(
  bytes: number,
  host: LabHost | undefined,
): Promise<{ process: RunningProcess; port: number; sha256: string }> {
  const script = `
    const content = require('node:crypto').randomBytes(${bytes})
    const sha256 = require('node:crypto').createHash('sha256').update(content).digest('hex')
    const server = require('node:net').createServer((socket) => socket.on('error', () => {}).end(content))
    server.listen(0, '127.0.0.1', () => console.log('serves', server.address().port, sha256))`
  const [command, args] = host?.command(process.execPath, '-e', script) ?? [process.execPath, ['-e', script]]
  const running = await startProcess(command, args, { readyWhen: /^serves \d+ \w+$/m })
  const [, port = '', sha256 = ''] = /^serves (\d+) (\w+)$/m.exec(running.output) ?? []
  return { process: running, port: Number(port), sha256 }
}

/** Starts a tailnet whose only relay is the given one, or one on the hosts of a lab. */
export async function startTailnet(
  options: { readonly derp: RelayAddress } | { readonly lab: LabSettings },
): Promise<Tailnet> {
  const programs = {
    headscale: await pathOf('headscale'),
    tailscale: await pathOf('tailscale'),
    tailscaled: await pathOf('tailscaled'),
  }
  const stack = new ResourceStack()
  try {
    const folder = await mkdtemp(join(tmpdir(), 'tailnet-'))
    stack.own({ [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }) })
    const lab = 'lab' in options ? options.lab : undefined
    const map = 'lab' in options ? options.lab.derpMap : derpMap(options.derp)
    const control = await startHeadscale(programs.headscale, folder, lab?.controlAddress ?? '127.0.0.1', map)
    stack.own(control.server)
    const optionsOn = (host: LabHost | undefined): ClientOptions =>
      host === undefined || lab === undefined
        ? { folder, programs }
        : { folder, programs, host, env: { SSL_CERT_FILE: lab.caPath } }
    const alice = stack.own(await Client.start('alice', optionsOn(lab?.hosts.alice)))
    const bob = stack.own(await Client.start('bob', optionsOn(lab?.hosts.bob)))
    const { url, authKey } = control
    await Promise.all([alice.logIn(url, authKey), bob.logIn(url, authKey)])
    const home = lab?.homeRegion ?? region.code
    await Promise.all([alice, bob].map(async (client) => await untilSettled(client, home)))
    return new Tailnet({ alice, bob }, control, stack)
  } catch (error) {
    await stack[Symbol.asyncDispose]()
    throw error
  }
}

async function untilSettled(client: Client, home: string): Promise<void> {
  try {
    await waitUntil(`${client.name} has chosen its home and knows its peer`, async () => {
      return (await client.homeRegion()) === home && (await client.peer())?.relay === home
    })
  } catch (error) {
    throw new Error(client.log(), { cause: error })
  }
}

/** Headscale requires every key in lower case and the region's key as a number: hence a Map and YAML. */
function derpMap(derp: RelayAddress): object {
  const node = {
    name: `${region.id}a`,
    regionid: region.id,
    hostname: 'localhost',
    ipv4: derp.host,
    derpport: derp.port,
    stunport: derp.stunPort,
    certname: `sha256-raw:${derp.certSha256}`,
  }
  const lab = { regionid: region.id, regioncode: region.code, regionname: region.name, nodes: [node] }
  return { regions: new Map([[region.id, lab]]) }
}

/** Connects through a SOCKS5 proxy (RFC 1928) without authentication to an IPv4 address. */
async function connectThroughSocks5(
  { socks5Host, socks5Port }: Client,
  to: { readonly host: string; readonly port: number },
): Promise<Socket> {
  const socket = connect(socks5Port, socks5Host)
  await once(socket, 'connect')
  socket.write(Uint8Array.of(5, 1, 0))
  const [, method] = await readExactly(socket, 2)
  if (method !== 0) throw new Error(`the SOCKS5 proxy requires authentication method ${method}`)
  const address = to.host.split('.').map(Number)
  socket.write(Uint8Array.of(5, 1, 0, 1, ...address, to.port >> 8, to.port & 0xff))
  const [, status, , addressType] = await readExactly(socket, 4)
  if (status !== 0) throw new Error(`the SOCKS5 proxy responds with ${status} for ${to.host}:${to.port}`)
  const domainBytes = addressType === 3 ? ((await readExactly(socket, 1))[0] ?? 0) : 0
  const addressBytes = addressType === 1 ? 4 : addressType === 4 ? 16 : domainBytes
  await readExactly(socket, addressBytes + 2)
  return socket
}

async function readExactly(socket: Socket, bytes: number): Promise<Buffer> {
  for (;;) {
    const read: unknown = socket.read(bytes)
    if (Buffer.isBuffer(read) && read.length === bytes) return read
    if (socket.readableEnded) throw new Error('the SOCKS5 proxy closed the connection')
    await once(socket, 'readable')
  }
}

async function pathOf(name: ForeignName): Promise<string> {
  const found = await foreign(name)
  if ('missing' in found) throw new Error(`${name} is missing: ${found.missing}`)
  return found.path
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** The JSON of foreign programs is not validated here: a missing field fails the test's own check. */
function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}

function field(value: unknown, name: string): unknown {
  return record(value)[name]
}

function text(value: unknown, name: string): string {
  const found = field(value, name)
  return typeof found === 'string' ? found : ''
}
