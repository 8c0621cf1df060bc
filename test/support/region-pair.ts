// Two relays of one region on loopback, meshed, as processes: derpfleets or derpers. Their certificate is for localhost,
// signed by an authority of their own.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newKeyPair } from '#client/derp-client.ts'
import type { TargetOptions } from '#client/target.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import { issueCertificate, makeAuthority } from './certificate.ts'
import { freePort, startProcess, type Exit, type RunningProcess } from './process.ts'
import { PROGRAM } from './program-path.ts'

/** derper dials a sibling that refused it every five seconds. */
const MESHED_TIMEOUT_MS = 20_000

export interface RegionPairOptions {
  /** The path of a derper; undefined: derpfleets. */
  readonly derper?: string
  /** More arguments for derpfleets. */
  readonly args?: readonly string[] | ((which: 0 | 1, keys: readonly [KeyPair, KeyPair]) => readonly string[])
}

export class RegionPair implements AsyncDisposable {
  readonly ports: readonly [number, number]
  readonly adminPorts: readonly [number, number]
  /** Of the relays. */
  readonly keys: readonly [KeyPair, KeyPair] = [newKeyPair(), newKeyPair()]
  readonly meshKey = randomBytes(32)
  readonly #folder: string
  readonly #options: RegionPairOptions
  readonly #running: RunningProcess[] = []

  private constructor(
    folder: string,
    ports: { readonly derp: readonly [number, number]; readonly admin: readonly [number, number] },
    options: RegionPairOptions,
  ) {
    this.#folder = folder
    this.ports = ports.derp
    this.adminPorts = ports.admin
    this.#options = options
  }

  static async start(options: RegionPairOptions = {}): Promise<RegionPair> {
    const folder = await mkdtemp(join(tmpdir(), 'region-pair-'))
    const authority = await makeAuthority(folder, 'authority')
    await issueCertificate(folder, 'localhost', authority)
    const two = async (): Promise<[number, number]> => [await freePort(), await freePort()]
    const pair = new RegionPair(folder, { derp: await two(), admin: await two() }, options)
    await writeFile(join(folder, 'psk'), pair.meshKey.toString('hex'), { mode: 0o600 })
    try {
      for (const which of [0, 1] as const) pair.#running.push(await pair.#startOne(which))
      if (options.derper === undefined) await pair.#meshed()
    } catch (error) {
      await pair[Symbol.asyncDispose]()
      throw error
    }
    return pair
  }

  /** How clients reach the relays. */
  get targets(): readonly TargetOptions[] {
    return this.ports.map((port) => ({
      host: 'localhost',
      dialAddress: '127.0.0.1',
      port,
      tls: { isInsecure: true },
    }))
  }

  relay(which: 0 | 1): RunningProcess {
    const running = this.#running[which]
    if (running === undefined) throw new Error(`relay ${which} was not started`)
    return running
  }

  /** The metrics of a derpfleet, by series. Throws if it does not answer. */
  async metrics(which: 0 | 1): Promise<ReadonlyMap<string, number>> {
    const page = await (await fetch(`http://127.0.0.1:${this.adminPorts[which]}/metrics`)).text()
    const lines = page.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
    return new Map(
      lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
    )
  }

  /** Sends SIGTERM to a relay and reads its metrics until it has ended. */
  async drain(which: 0 | 1): Promise<{ readonly exit: Exit; readonly last: ReadonlyMap<string, number> }> {
    const relay = this.relay(which)
    let last: ReadonlyMap<string, number> = new Map()
    let exit: Exit | undefined
    void relay.exited.then((how) => (exit = how))
    relay.signal('SIGTERM')
    while (exit === undefined) {
      last = await this.metrics(which).catch(() => last)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    return { exit, last }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#running.map(async (one) => await one.stop()))
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #startOne(which: 0 | 1): Promise<RunningProcess> {
    const { derper, args = [] } = this.#options
    const keyPath = join(this.#folder, `key-${which}.json`)
    await writeFile(keyPath, formatKeyFile(this.keys[which]), { mode: 0o600 })
    const siblings = this.ports.map((port) => `localhost:${port}`).join(',')
    const common = [
      '-c',
      keyPath,
      '-a',
      `127.0.0.1:${this.ports[which]}`,
      '-hostname',
      'localhost',
      '-stun=false',
    ]
    const certificate = ['-certmode', 'manual', '-certdir', this.#folder, '-http-port', '-1']
    const mesh = ['-mesh-psk-file', join(this.#folder, 'psk'), '-mesh-with', siblings]
    const all = [...common, ...certificate, ...mesh]
    const ca = join(this.#folder, 'authority.crt')
    if (derper !== undefined) {
      return await startProcess(derper, all, { env: { SSL_CERT_FILE: ca }, readyWhen: /serving on/ })
    }
    const admin = ['-admin', `127.0.0.1:${this.adminPorts[which]}`]
    const more = typeof args === 'function' ? args(which, this.keys) : args
    const own = ['-mesh-ca-file', ca, '-threads', '1', ...admin, ...more]
    return await startProcess(PROGRAM, ['serve', ...all, ...own], { readyWhen: /"relay_started"/ })
  }

  /** Waits until both links are up. */
  async #meshed(): Promise<void> {
    const deadlineMs = performance.now() + MESHED_TIMEOUT_MS
    for (const which of [0, 1] as const) {
      for (;;) {
        const up = [...(await this.metrics(which))].filter(([series]) => series.startsWith('derp_sibling_up'))
        if (up.some(([, value]) => value === 1)) break
        if (performance.now() > deadlineMs)
          throw new Error(`relay ${which} is not meshed: ${JSON.stringify(up)}`)
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
  }
}
