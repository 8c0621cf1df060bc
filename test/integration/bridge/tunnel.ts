// A WireGuard tunnel between alice and bob of a lab, with a bridge on each host and the relay between them, all as
// processes.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { newKeyPair } from '#client/derp-client.ts'
import type { BridgeStatus } from '#bridge/status.ts'
import { base64Of } from '#bridge/wg-config.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { runProcess, type RunningProcess } from '../../support/process.ts'
import { PROGRAM } from '../../support/program-path.ts'
import { ADDRESS, type LabEnd, type VpnLab } from '../../support/vpn-lab.ts'
import { LabRelay } from './lab-relay.ts'

export const INSIDE = { alice: '198.19.0.1', bob: '198.19.0.2' } as const
export const BRIDGE_PORT = 51_830
const WG_PORT = 51_820

export interface TunnelOptions {
  /** The path of wireguard-go. */
  readonly wireguard: string
  /** What alice's file has as bob's endpoint. */
  readonly endpoint: string
  /** Bob's side waits: no endpoint in its file. */
  readonly isBobPassive: boolean
  readonly allowedIps?: string
  /** Alice's interface is brought up by wg-quick, with its rules. */
  readonly isQuick?: boolean
  readonly bridgeArgs?: readonly string[]
  /** Where the package koffi is not installed. */
  readonly withoutKoffi?: readonly LabEnd[]
  readonly relayArgs?: readonly string[]
  /** The path of a derper, to be the relay. */
  readonly derper?: string
}

export class Tunnel implements AsyncDisposable {
  readonly lab: VpnLab
  readonly folder: string
  readonly keys: Readonly<Record<LabEnd, KeyPair>>
  readonly interfaces: Record<LabEnd, string> = { alice: '', bob: '' }
  readonly bridges: Partial<Record<LabEnd, RunningProcess>> = {}
  readonly wireguards: Partial<Record<LabEnd, RunningProcess>> = {}
  readonly relay: LabRelay
  readonly #options: TunnelOptions

  private constructor(relay: LabRelay, options: TunnelOptions) {
    this.relay = relay
    this.lab = relay.lab
    this.folder = relay.folder
    this.keys = { alice: newKeyPair(), bob: newKeyPair() }
    this.#options = options
  }

  /** The lab with relay and WireGuard on both sides; no bridges yet. */
  static async make(options: TunnelOptions): Promise<Tunnel> {
    const tunnel = new Tunnel(await LabRelay.make(options.relayArgs, options.derper), options)
    for (const end of ['alice', 'bob'] as const) await tunnel.#startEnd(end)
    return tunnel
  }

  /** @param wgFolder has a program wg that is found first */
  async startBridge(end: LabEnd, wgFolder = ''): Promise<RunningProcess> {
    const socket = ['-status-socket', join(this.folder, `${end}.sock`)]
    const args = [
      'bridge',
      this.configPath(end),
      ...this.relay.clientArgs,
      ...socket,
      ...(this.#options.bridgeArgs ?? []),
    ]
    const env = {
      ...(wgFolder === '' ? {} : { PATH: `${wgFolder}:${process.env['PATH']}` }),
      ...(this.#options.withoutKoffi?.includes(end) === true ? { NODE_OPTIONS: `--import ${NO_KOFFI}` } : {}),
    }
    const bridge = await this.lab.start(end, { env, readyWhen: /the bridge runs/ }, PROGRAM, ...args)
    this.bridges[end] = bridge
    return bridge
  }

  configPath(end: LabEnd): string {
    return join(this.folder, `${this.interfaces[end]}.conf`)
  }

  /** As WireGuard writes it. */
  publicKeyOf(end: LabEnd): string {
    return base64Of(this.keys[end].publicKey)
  }

  wg(end: LabEnd, ...args: readonly string[]): Promise<string> {
    const [verb = '', ...rest] = args
    return this.lab.run(end, 'wg', verb, this.interfaces[end], ...rest)
  }

  /** Where a WireGuard sends to now. */
  async endpoint(end: LabEnd): Promise<string> {
    return (await this.wg(end, 'show', 'endpoints')).trim().split('\t')[1] ?? ''
  }

  async status(end: LabEnd): Promise<BridgeStatus> {
    const text = await this.lab.run(
      end,
      PROGRAM,
      'bridge',
      'status',
      join(this.folder, `${end}.sock`),
      '-json',
    )
    const [status] = JSON.parse(text) as BridgeStatus[]
    if (status === undefined) throw new Error(text)
    return status
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#options.isQuick === true) {
      await runProcess(...this.lab.command('alice', 'wg-quick', 'down', this.configPath('alice')))
    }
    await this.relay[Symbol.asyncDispose]()
  }

  async #startEnd(end: LabEnd): Promise<void> {
    const other = end === 'alice' ? 'bob' : 'alice'
    const keyPath = join(this.folder, `${end}.key`)
    await writeFile(keyPath, base64Of(this.keys[end].privateKey), { mode: 0o600 })
    const isWaiting = end === 'bob' && this.#options.isBobPassive
    const listenPort = WG_PORT
    const isQuick = end === 'alice' && this.#options.isQuick === true
    if (isQuick) {
      this.interfaces[end] = `wq${process.pid % 100_000}`
    } else {
      const program = this.#options.wireguard
      const wireguard = { program, privateKeyPath: keyPath, listenPort, address: INSIDE[end] }
      const { name, daemon } = await this.lab.startWireguard(end, wireguard)
      this.interfaces[end] = name
      this.wireguards[end] = daemon
    }
    const endpoint = end === 'alice' ? this.#options.endpoint : `127.0.0.1:${BRIDGE_PORT}`
    const allowedIps =
      end === 'alice' ? (this.#options.allowedIps ?? `${INSIDE.bob}/32`) : `${INSIDE.alice}/32`
    const config = [
      '[Interface]',
      `PrivateKey = ${base64Of(this.keys[end].privateKey)}`,
      `ListenPort = ${listenPort}`,
      ...(isQuick ? [`Address = ${INSIDE[end]}/24`, 'MTU = 1420'] : []),
      '[Peer]',
      `# Name = ${other}`,
      `PublicKey = ${base64Of(this.keys[other].publicKey)}`,
      `AllowedIPs = ${allowedIps}`,
      ...(isWaiting ? [] : [`Endpoint = ${endpoint}`]),
    ]
    await writeFile(this.configPath(end), `${config.join('\n')}\n`, { mode: 0o600 })
    if (isQuick) {
      const program = `WG_QUICK_USERSPACE_IMPLEMENTATION=${this.#options.wireguard}`
      await this.lab.run(end, 'env', program, 'wg-quick', 'up', this.configPath(end))
      return
    }
    await this.lab.run(end, 'wg', 'setconf', this.interfaces[end], this.configPath(end))
    for (const range of allowedIps.split(',')) {
      await this.lab.run(end, 'ip', 'route', 'replace', range, 'dev', this.interfaces[end])
    }
  }
}

const NO_KOFFI = new URL('../../support/no-koffi.ts', import.meta.url).pathname

/** Bob's own address, as alice's WireGuard knows it. */
export const NATIVE = `${ADDRESS.bob}:${WG_PORT}`
