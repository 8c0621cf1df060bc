// Pebble, Let's Encrypt's ACME server for tests, with the DNS server that it asks, on free ports of loopback. It validates names
// for real: it connects to the ports that a test names. Its certificates are worthless outside the test.

import { writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { freePort, startProcess, type RunningProcess } from './process.ts'
import { makeCertificate } from './certificate.ts'

const DAY_SECONDS = 86_400

export interface PebbleOptions {
  readonly programs: Readonly<Record<'pebble' | 'pebble-challtestsrv', string>>
  /** For its files. */
  readonly folder: string
  /** The ports at which it validates names, instead of 80 and 443. */
  readonly httpPort: number
  readonly tlsPort: number
  /** Lives of certificates by profile, in seconds. */
  readonly profiles?: Readonly<Record<string, number>>
  /** External account binding: keys in base64url by their identifiers; accounts without are refused. */
  readonly eabKeys?: Readonly<Record<string, string>>
  /** A command that runs the programs elsewhere. */
  readonly prefix?: readonly string[]
}

export class Pebble implements AsyncDisposable {
  readonly directoryUrl: string
  /** The certificate of its own HTTPS port, PEM, for SSL_CERT_FILE. */
  readonly authorityPath: string
  readonly #management: string
  readonly #agent = new Agent({ rejectUnauthorized: false })
  readonly #server: RunningProcess
  readonly #dns: RunningProcess

  private constructor(parts: {
    readonly port: number
    readonly managementPort: number
    readonly authorityPath: string
    readonly server: RunningProcess
    readonly dns: RunningProcess
  }) {
    this.directoryUrl = `https://127.0.0.1:${parts.port}/dir`
    this.#management = `https://127.0.0.1:${parts.managementPort}`
    this.authorityPath = parts.authorityPath
    this.#server = parts.server
    this.#dns = parts.dns
  }

  static async start(options: PebbleOptions): Promise<Pebble> {
    const { programs, folder, profiles = {}, eabKeys, prefix = [] } = options
    const [port, managementPort] = [await freePort(), await freePort()]
    const dnsPort = await freePort()
    const dns = await startDns([...prefix, programs['pebble-challtestsrv']], dnsPort)
    const { certPath, keyPath } = await makeCertificate(folder, '127.0.0.1')
    const all = { default: 90 * DAY_SECONDS, shortlived: 6 * DAY_SECONDS, ...profiles }
    const configPath = join(folder, 'pebble.json')
    const pebble = {
      listenAddress: `127.0.0.1:${port}`,
      managementListenAddress: `127.0.0.1:${managementPort}`,
      certificate: certPath,
      privateKey: keyPath,
      httpPort: options.httpPort,
      tlsPort: options.tlsPort,
      externalAccountBindingRequired: eabKeys !== undefined,
      externalAccountMACKeys: eabKeys ?? {},
      domainBlocklist: ['blocked.example'],
      retryAfter: { authz: 0, order: 0 },
      keyAlgorithm: 'ecdsa',
      profiles: Object.fromEntries(
        Object.entries(all).map(([name, seconds]) => [name, { description: name, validityPeriod: seconds }]),
      ),
    }
    await writeFile(configPath, JSON.stringify({ pebble }))
    const [command = '', ...args]: readonly string[] = [...prefix, programs.pebble]
    const server = await startProcess(
      command,
      [...args, '-config', configPath, '-dnsserver', `127.0.0.1:${dnsPort}`],
      // Without pauses before validations, and with some good nonces refused; three certificates in a chain.
      {
        env: {
          PEBBLE_VA_NOSLEEP: '1',
          PEBBLE_WFE_NONCEREJECT: '5',
          PEBBLE_AUTHZREUSE: '0',
          PEBBLE_CHAIN_LENGTH: '2',
        },
        readyWhen: /ACME directory available/,
      },
    )
    return new Pebble({ port, managementPort, authorityPath: certPath, server, dns })
  }

  /** All that the server has logged lately. */
  get output(): string {
    return this.#server.output
  }

  /** Certificates issued so far. */
  get issuedCount(): number {
    return [...this.output.matchAll(/Issued certificate serial/g)].length
  }

  /** The authority's own answer about a certificate's renewal, in place of the usual one. */
  async setRenewalInformation(certificatePem: string, answer: unknown): Promise<void> {
    const body = JSON.stringify({
      Certificate: certificatePem,
      ARIResponse: typeof answer === 'string' ? answer : JSON.stringify(answer),
    })
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const options = { method: 'POST', agent: this.#agent, headers: { 'User-Agent': 'test' } }
    request(`${this.#management}/set-renewal-info/`, options, resolve).on('error', reject).end(body)
    const response = await promise
    const said = await text(response)
    if (response.statusCode !== 200) throw new Error(`Pebble answers ${response.statusCode}: ${said}`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy()
    await Promise.all([this.#server.stop(), this.#dns.stop()])
  }
}

/** Answers every name with 127.0.0.1. */
async function startDns([command = '', ...before]: readonly string[], port: number): Promise<RunningProcess> {
  const management = await freePort()
  const off = ['-http01', '', '-https01', '', '-tlsalpn01', '', '-doh', '']
  const args = ['-dnsserver', `127.0.0.1:${port}`, '-defaultIPv6', '', ...off]
  return await startProcess(command, [...before, ...args, '-management', `127.0.0.1:${management}`], {
    readyWhen: /Starting management server/,
  })
}
