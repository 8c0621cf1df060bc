// The relay in the middle of a lab, with its certificate, and how bridges of the lab reach it.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificate } from '../../support/certificate.ts'
import type { RunningProcess } from '../../support/process.ts'
import { PROGRAM } from '../../support/program-path.ts'
import { MIDDLE, VpnLab, type LabEnd } from '../../support/vpn-lab.ts'

export class LabRelay implements AsyncDisposable {
  readonly lab: VpnLab
  readonly folder: string
  readonly #args: readonly string[]
  /** The path of a derper; undefined: a relay of ours. */
  readonly #derper: string | undefined
  readonly #pin: string
  process: RunningProcess | undefined

  private constructor(
    lab: VpnLab,
    { folder, pin }: { readonly folder: string; readonly pin: string },
    args: readonly string[],
    derper: string | undefined,
  ) {
    this.lab = lab
    this.folder = folder
    this.#pin = pin
    this.#args = args
    this.#derper = derper
  }

  /** Makes a lab, and starts the relay. @param derper the path of one, to be the relay */
  static async make(args: readonly string[] = ['-open-relay'], derper?: string): Promise<LabRelay> {
    const folder = await mkdtemp(join(tmpdir(), 'lab-relay-'))
    const { sha256 } = await makeCertificate(folder, 'relay.lab')
    const relay = new LabRelay(await VpnLab.make(), { folder, pin: sha256 }, args, derper)
    await relay.start()
    return relay
  }

  async start(): Promise<void> {
    const listen = ['-a', `${MIDDLE}:443`, '-http-port', '-1', '-stun-port', '3478']
    const files = ['-c', join(this.folder, 'relay.json'), '-certdir', this.folder]
    const common = [...listen, ...files, '-hostname', 'relay.lab', '-certmode', 'manual']
    if (this.#derper !== undefined) {
      this.process = await this.lab.start('middle', { readyWhen: /serving on/ }, this.#derper, ...common)
      return
    }
    const state = ['-state-dir', join(this.folder, 'state'), '-drain-spread', '0', '-admin', 'off']
    const args = ['serve', ...common, ...state, ...this.#args]
    this.process = await this.lab.start('middle', { readyWhen: /relay_started/ }, PROGRAM, ...args)
  }

  async restart(): Promise<void> {
    this.process?.signal('SIGKILL')
    await this.process?.exited
    await this.start()
  }

  /** Of its certificate. */
  get pin(): string {
    return `sha256-raw:${this.#pin}`
  }

  /** For a bridge. */
  get clientArgs(): readonly string[] {
    return ['-relay', 'https://relay.lab', '-pin', this.pin]
  }

  /** A bridge with a configuration of its own. */
  async startBridge(end: LabEnd, configPath: string): Promise<RunningProcess> {
    const socket = ['-status-socket', join(this.folder, `${end}.sock`)]
    const args = ['bridge', '-config', configPath, ...this.clientArgs, ...socket]
    return await this.lab.start(end, { readyWhen: /the bridge runs/ }, PROGRAM, ...args)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]()
    await rm(this.folder, { recursive: true, force: true })
  }
}
