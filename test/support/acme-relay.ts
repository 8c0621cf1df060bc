// The program as a process that gets its certificate from an ACME server of the test: on ports that the server validates, with
// its log as events.

import type { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { connect } from 'node:tls'
import { freePort, startProcess, waitUntil, type RunningProcess } from './process.ts'
import { PROGRAM } from './program-path.ts'

export interface AcmeRelayOptions {
  readonly hostname: string
  /** The folder of certificates, -certdir. */
  readonly folder: string
  readonly keyPath: string
  readonly directoryUrl: string
  /** A PEM file: the authorities of the ACME server's own port. */
  readonly authorityPath: string
  readonly port: number
  readonly httpPort: number
  readonly args?: readonly string[]
  /** A command that runs the program elsewhere. */
  readonly prefix?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly event: string }

export class AcmeRelay implements AsyncDisposable {
  readonly port: number
  readonly process: RunningProcess
  readonly #hostname: string
  readonly #adminPort: number

  private constructor(running: RunningProcess, { hostname, port }: AcmeRelayOptions, adminPort: number) {
    this.process = running
    this.port = port
    this.#hostname = hostname
    this.#adminPort = adminPort
  }

  /** Resolves when the relay listens, with or without a certificate. */
  static async start(options: AcmeRelayOptions): Promise<AcmeRelay> {
    const adminPort = await freePort()
    const { args = [], authorityPath, directoryUrl, env, folder, hostname, httpPort, keyPath, port } = options
    const noAuthorities = `${keyPath}.authorities`
    mkdirSync(noAuthorities, { recursive: true })
    const listen = ['-a', `127.0.0.1:${port}`, '-http-port', `${httpPort}`, '-stun=false', '-c', keyPath]
    const acme = ['-hostname', hostname, '-certdir', folder, '-acme-directory', directoryUrl]
    const other = ['-admin', `127.0.0.1:${adminPort}`, '-log-format', 'json', '-threads', '2']
    const [command, ...before] = [...(options.prefix ?? []), PROGRAM]
    const all = [...before, 'serve', ...listen, ...acme, ...other, ...args]
    const running = await startProcess(command, all, {
      env: { SSL_CERT_FILE: authorityPath, SSL_CERT_DIR: noAuthorities, ...env },
      readyWhen: /"event":"relay_started"/,
    })
    return new AcmeRelay(running, options, adminPort)
  }

  /** The address of its admin port. */
  get admin(): string {
    return `127.0.0.1:${this.#adminPort}`
  }

  /** Waits for a certificate that the relay presents, and that is none of the given ones. */
  async certificate(...others: readonly X509Certificate[]): Promise<X509Certificate> {
    let found: X509Certificate | undefined
    await this.#explained('the relay presents a new certificate', async () => {
      found = await this.presented()
      return others.every(({ serialNumber }) => serialNumber !== found?.serialNumber)
    })
    return found as X509Certificate
  }

  /** The certificate of a new connection. @throws Error if the relay presents none */
  async presented(): Promise<X509Certificate> {
    const servername = /^[\d.:]+$/.test(this.#hostname) ? '' : this.#hostname
    const socket = connect({ host: '127.0.0.1', port: this.port, servername, rejectUnauthorized: false })
    try {
      await once(socket, 'secureConnect')
      const certificate = socket.getPeerX509Certificate()
      if (certificate === undefined) throw new Error('no certificate')
      return certificate
    } finally {
      socket.destroy()
    }
  }

  async page(path: string): Promise<string> {
    return await (await fetch(`http://${this.admin}${path}`)).text()
  }

  /** The value of a series on the metrics page. */
  async metric(series: string): Promise<number> {
    const line = (await this.page('/metrics')).split('\n').find((one) => one.startsWith(`${series} `))
    return line === undefined ? Number.NaN : Number(line.slice(series.length))
  }

  /** The log's lines of an event, oldest first. */
  events(event: string): readonly LogLine[] {
    return this.process.output
      .split('\n')
      .filter((line) => line.includes(`"event":"${event}"`))
      .map((line) => JSON.parse(line) as LogLine)
  }

  async waitForEvent(event: string, count = 1): Promise<LogLine> {
    await this.#explained(`the log has ${count} × ${event}`, () => this.events(event).length >= count)
    return this.events(event).at(-1) as LogLine
  }

  /** @throws Error with the log if the condition does not become true */
  async #explained(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    try {
      await waitUntil(what, condition)
    } catch (error) {
      throw new Error(`not so: ${what}; the log is ${this.process.output}`, { cause: error })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stop()
  }
}
