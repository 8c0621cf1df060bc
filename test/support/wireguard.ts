// Stock WireGuard peers: wireguard-go on hosts of a lab, each a process of its own, set up with `wg` as its users do.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { keyPairFrom, type KeyPair } from '#protocol/node-key.ts'
import type { LabHost } from './lab.ts'
import { runOk, runProcess, type RunningProcess, startProcess, waitUntil } from './process.ts'

/** Interfaces of all namespaces have their control sockets in one folder. */
let made = 0

export const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

export function wireguardKey(): KeyPair {
  return keyPairFrom(randomBytes(32))
}

/** A [Peer] block. */
export interface PeerBlock {
  readonly key: Uint8Array
  readonly endpoint?: string
  readonly allowedIps?: string
  readonly keepaliveS?: number
}

export interface WireguardOptions {
  /** The path of wireguard-go. */
  readonly program: string
  readonly host: Pick<LabHost, 'command'>
  readonly key: KeyPair
  /** Within the tunnel. */
  readonly address: string
  readonly peers: readonly PeerBlock[]
}

export interface PingResult {
  readonly sent: number
  readonly received: number
}

export class WireguardPeer implements AsyncDisposable {
  readonly name: string
  readonly address: string
  readonly #options: WireguardOptions
  readonly #folder: string
  #process: RunningProcess | undefined = undefined

  private constructor(options: WireguardOptions, folder: string) {
    this.#options = options
    this.address = options.address
    this.#folder = folder
    this.name = `wl${process.pid % 100_000}x${made++}`
  }

  static async start(options: WireguardOptions): Promise<WireguardPeer> {
    const peer = new WireguardPeer(options, await mkdtemp(join(tmpdir(), 'wireguard-')))
    try {
      await peer.#up()
      return peer
    } catch (error) {
      await peer[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Its process anew, as after a restart of its host. */
  async restart(): Promise<void> {
    await this.#process?.stop()
    await this.#up()
  }

  get process(): RunningProcess | undefined {
    return this.#process
  }

  async stop(): Promise<void> {
    await this.#process?.stop()
    this.#process = undefined
  }

  /** Runs `wg set` for its interface. */
  async set(...args: readonly string[]): Promise<void> {
    await this.#run('wg', 'set', this.name, ...args)
  }

  /** What `wg show` says of a peer in that respect, such as latest-handshakes. */
  async shows(what: string, key: Uint8Array): Promise<string> {
    const text = await this.#run('wg', 'show', this.name, what)
    return (
      text
        .split('\n')
        .find((line) => line.startsWith(base64(key)))
        ?.split('\t')[1] ?? ''
    )
  }

  /** Waits for the first answer of an address in the tunnel. Returns the milliseconds that took. */
  async firstAnswer(address: string, timeoutMs = 20_000): Promise<number> {
    const beganMs = performance.now()
    await waitUntil(
      `${address} answers`,
      async () => (await this.ping(address, { count: 1 })).received > 0,
      timeoutMs,
    )
    return performance.now() - beganMs
  }

  async ping(
    address: string,
    {
      count,
      everyS = 0.2,
      bytes = 56,
    }: { readonly count: number; readonly everyS?: number; readonly bytes?: number },
  ): Promise<PingResult> {
    const size = ['-M', 'do', '-s', `${bytes}`]
    const args = ['-n', '-q', '-c', `${count}`, '-i', `${everyS}`, '-W', '1', ...size, address]
    const options = { timeoutMs: 1_000 * (count * everyS + 30) }
    const { stdout } = await runProcess(...this.#options.host.command('ping', ...args), options)
    const [, sent = 0, received = 0] =
      /(\d+) packets transmitted, (\d+) received/.exec(stdout)?.map(Number) ?? []
    return { sent, received }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #up(): Promise<void> {
    const { program, host, key, address, peers } = this.#options
    const { name } = this
    const [command, args] = host.command(program, '-f', name)
    this.#process = await startProcess(command, args, {
      env: { WG_PROCESS_FOREGROUND: '1', LOG_LEVEL: 'error' },
      readyWhen: () => existsSync(`/var/run/wireguard/${name}.sock`),
    })
    const path = join(this.#folder, 'wg.conf')
    await writeFile(path, configText(key, peers), { mode: 0o600 })
    await this.#run('wg', 'setconf', name, path)
    // Each is a host of its own: several peers of one namespace have one network.
    await this.#run('ip', 'addr', 'add', `${address}/32`, 'dev', name)
    await this.#run('ip', 'link', 'set', name, 'mtu', '1420', 'up')
    for (const { allowedIps } of peers)
      if (allowedIps !== undefined)
        await this.#run('ip', 'route', 'add', allowedIps, 'dev', name, 'src', address)
  }

  async #run(command: string, ...args: readonly string[]): Promise<string> {
    return await runOk(...this.#options.host.command(command, ...args))
  }
}

function configText(key: KeyPair, peers: readonly PeerBlock[]): string {
  const blocks = peers.map(({ key: peerKey, endpoint, allowedIps, keepaliveS }) =>
    [
      '[Peer]',
      `PublicKey = ${base64(peerKey)}`,
      ...(endpoint === undefined ? [] : [`Endpoint = ${endpoint}`]),
      ...(allowedIps === undefined ? [] : [`AllowedIPs = ${allowedIps}`]),
      ...(keepaliveS === undefined ? [] : [`PersistentKeepalive = ${keepaliveS}`]),
    ].join('\n'),
  )
  return `[Interface]\nPrivateKey = ${base64(key.privateKey)}\n${blocks.join('\n')}\n`
}
