// The example with three regions, and one that is added later, as hosts of a lab with the distances between such places; a
// Headscale that has its map from `derpfleet map watch`, as docs/map.md says for regions of several nodes; and two
// tailscaled, alice in New York and bob in Falkenstein, that reach each other by relays alone.

import { once } from 'node:events'
import { mkdirSync, readFileSync } from 'node:fs'
import { createServer as createHttpsServer } from 'node:https'
import { connect, type Server } from 'node:net'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { issueCertificate, makeAuthority, type Certificate } from '../support/certificate.ts'
import { DelayRouter } from '../support/delay-router.ts'
import { startHeadscale, type Control } from '../support/headscale.ts'
import { Lab } from '../support/lab.ts'
import { freePort, runOk, startProcess, waitUntil } from '../support/process.ts'
import { PROGRAM } from '../support/program-path.ts'
import { ResourceStack } from '../support/resource-stack.ts'
import { Client } from '../support/tailnet.ts'
import { DEPLOY } from '../support/terraform.ts'
import { UnitHost, type HostFile } from '../support/unit-host.ts'
import { EXAMPLE, type FleetRequest, type HostMaker } from './generated-hosts.ts'

const NAMES: Readonly<Record<string, string>> = {
  '900a': 'derp1.fsn.example.com',
  '900b': 'derp2.fsn.example.com',
  '901a': 'derp1.nyc.example.com',
  '902a': 'derp1.sin.example.com',
  '903a': 'derp1.gru.example.com',
}
/** Round trips in ms from the clients to the regions. After New York, alice is nearest to São Paulo. */
const ROUND_TRIPS: Readonly<Record<'alice' | 'bob', Readonly<Record<string, number>>>> = {
  alice: { fsn: 90, nyc: 15, sin: 220, gru: 50 },
  bob: { fsn: 15, nyc: 90, sin: 160, gru: 200 },
}
const CERTIFICATES = '/etc/derpfleet/certs'

export interface Programs {
  readonly headscale: string
  readonly tailscale: string
  readonly tailscaled: string
}

export class GeneratedLab implements AsyncDisposable {
  readonly hosts = new Map<string, UnitHost>()
  alice!: Client
  bob!: Client
  readonly #stack = new ResourceStack()
  readonly #maker: HostMaker
  readonly #programs: Programs
  readonly #folder: TemporaryFolder
  #lab!: Lab
  #authority!: Certificate
  #request!: FleetRequest
  #control: Control | undefined = undefined
  /** What is at the URL from which hosts fetch the regions file. */
  #published = ''

  private constructor(maker: HostMaker, programs: Programs) {
    this.#maker = maker
    this.#programs = programs
    this.#folder = this.#stack.own(new TemporaryFolder())
  }

  static async make(maker: HostMaker, programs: Programs): Promise<GeneratedLab> {
    const all = new GeneratedLab(maker, programs)
    try {
      await all.#start()
      return all
    } catch (error) {
      const logs = [...all.hosts].map(([name, { log }]) => `--- ${name}\n${log}`).join('\n')
      await all[Symbol.asyncDispose]()
      throw new Error(logs, { cause: error })
    }
  }

  get regions(): string {
    return this.#request.regions
  }

  host(name: string): UnitHost {
    const host = this.hosts.get(name)
    if (host === undefined) throw new Error(`no relay ${name}`)
    return host
  }

  /** Nodes with the addresses of this lab, as an operator writes them into the file when the hosts are there. */
  withAddresses(regions: string): string {
    return regions.replace(/hostname: (derp\d\.\w+\.example\.com)/g, (found, name: string) => {
      const { address, address6 } = this.#lab.host(name)
      return `${found}, ipv4: ${address}, ipv6: "${address6}"`
    })
  }

  /**
   * Edits the regions file and nothing else: hosts that are there get the file in the way that the maker has for it, and new
   * hosts are set up and started.
   *
   * @returns the files of older hosts that would be others if these hosts were made anew
   */
  async edit(regions: string): Promise<readonly string[]> {
    this.#request = { ...this.#request, regions }
    const files = await this.#maker.make(this.#request)
    this.#published = regions
    const others: string[] = []
    for (const [name, host] of this.hosts) {
      const made = files.get(name) ?? []
      others.push(...made.filter(({ path, content }) => host.read(path) !== content).map(({ path }) => path))
      if (this.#maker.fetches) await this.#fetch(host)
      else host.write('/etc/derpfleet/regions.yaml', regions)
    }
    const added = [...files].filter(([name]) => !this.hosts.has(name))
    await Promise.all(added.map(async ([name, own]) => await this.#startRelay(name, own)))
    return others
  }

  /** Waits until the map file that Headscale reads is as it has to be, and restarts Headscale as the path unit does. */
  async deliverMap(isRight: (text: string) => boolean): Promise<void> {
    const control = this.#control
    if (control === undefined) throw new Error('there is no Headscale')
    await waitUntil(
      'the map has reached Headscale',
      () => isRight(readFileSync(control.mapPath, 'utf8')),
      40_000,
    )
    this.#control = await control.restart()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#control?.server.stop()
    await this.#stack[Symbol.asyncDispose]()
  }

  async #start(): Promise<void> {
    const clients = ['alice.example.com', 'bob.example.com']
    this.#lab = this.#stack.own(await Lab.make(...Object.values(NAMES), ...clients, 'headscale.example.com'))
    this.#authority = await makeAuthority(this.#folder.path, 'authority')
    await this.#setDistances()
    const port = await freePort()
    const headscale = `${this.#lab.ownAddress}:${port}`
    this.#request = {
      regions: this.withAddresses(readFileSync(join(EXAMPLE, 'regions.yaml'), 'utf8')),
      settings: {
        'verify-client-url': `http://${headscale}/verify`,
        'serve-map': true,
        certmode: 'manual',
        certdir: CERTIFICATES,
        'mesh-ca-file': `${CERTIFICATES}/authority.crt`,
      },
      meshKey: await runOk(PROGRAM, ['keygen', '-mesh']),
      regionsUrl: await this.#publish(),
    }
    const files = await this.#maker.make(this.#request)
    await Promise.all([...files].map(async ([name, own]) => await this.#startRelay(name, own)))
    const control = { authKey: (await this.#startControl(headscale)).authKey, url: await this.#secure(port) }
    const started = ['alice', 'bob'].map(async (name) => await this.#startClient(name, control))
    const [alice, bob] = await Promise.all(started)
    if (alice === undefined || bob === undefined) throw new Error('no clients')
    this.alice = alice
    this.bob = bob
  }

  async #setDistances(): Promise<void> {
    const router = this.#stack.own(await DelayRouter.make(this.#lab))
    for (const [client, trips] of Object.entries(ROUND_TRIPS)) {
      for (const name of Object.values(NAMES)) {
        const ms = trips[name.split('.')[1] ?? ''] ?? 0
        router.setRoundTrip(this.#lab.host(`${client}.example.com`), this.#lab.host(name), ms)
      }
    }
    // No direct path.
    const [alice, bob] = [this.#lab.host('alice.example.com'), this.#lab.host('bob.example.com')]
    router.setRoundTrip(alice, bob, 90, { blocked: ['udp'] })
  }

  /** Returns the URL of the regions file. */
  async #publish(): Promise<string> {
    const port = await freePort()
    const pem = await this.#ownCertificate('regions')
    await this.#listen(
      createHttpsServer(pem, (_, response) => response.end(this.#published)),
      port,
    )
    return `https://${this.#lab.ownAddress}:${port}/regions.yaml`
  }

  /** TLS before Headscale: clients reconnect by the usual port only. Returns the URL. */
  async #secure(port: number): Promise<string> {
    const { ownAddress } = this.#lab
    const server = createTlsServer(await this.#ownCertificate('control'), (client) => {
      const headscale = connect(port, ownAddress)
      client.on('error', () => headscale.destroy()).pipe(headscale)
      headscale.on('error', () => client.destroy()).pipe(client)
    })
    await this.#listen(server, 443)
    return `https://${ownAddress}`
  }

  async #ownCertificate(name: string): Promise<{ readonly cert: Buffer; readonly key: Buffer }> {
    const issued = await issueCertificate(this.#folder.path, name, this.#authority, this.#lab.ownAddress)
    return { cert: readFileSync(issued.certPath), key: readFileSync(issued.keyPath) }
  }

  async #listen(server: Server, port: number): Promise<void> {
    server.listen(port, this.#lab.ownAddress)
    await once(server, 'listening')
    this.#stack.own({ [Symbol.asyncDispose]: async () => void (await Promise.resolve(server.close())) })
  }

  /** What the host's timer does. */
  async #fetch(host: UnitHost): Promise<void> {
    const unit = host.read('/etc/systemd/system/derpfleet-regions.service')
    const [, command = ''] = /^ExecStart=(.*)$/m.exec(unit) ?? []
    await host.run(command, { CURL_CA_BUNDLE: this.#authority.certPath })
  }

  async #startRelay(name: string, files: readonly HostFile[]): Promise<void> {
    const hostname = NAMES[name] ?? ''
    const root = this.#folder.at(`hosts/${name}`)
    mkdirSync(root, { recursive: true })
    const names = this.#lab.hosts.flatMap((one) => [
      `${one.address} ${one.name}`,
      `${one.address6} ${one.name}`,
    ])
    const host = this.#stack.own(UnitHost.make(this.#lab.host(hostname), root, names))
    this.hosts.set(name, host)
    host.install(files)
    const issued = await issueCertificate(this.#folder.path, hostname, this.#authority)
    for (const path of [issued.certPath, issued.keyPath, this.#authority.certPath])
      host.write(`${CERTIFICATES}/${path.split('/').at(-1)}`, readFileSync(path, 'utf8'), 0o600)
    await host.run(commandsForCertificates())
    await host.start()
  }

  async #startControl(address: string): Promise<Control> {
    const folder = this.#folder.at('headscale')
    mkdirSync(folder)
    const urls = ['900a', '902a'].map((name) => `https://${NAMES[name]}/derpmap.yaml`)
    const mapPath = join(folder, 'derp.yaml')
    const args = ['map', 'watch', ...urls, '-o', mapPath]
    const [command, all] = this.#lab.host('headscale.example.com').command(PROGRAM, ...args)
    const env = { SSL_CERT_FILE: this.#authority.certPath }
    this.#stack.own(await startProcess(command, all, { env, readyWhen: /\d regions, \d nodes/ }))
    const map = readFileSync(mapPath, 'utf8')
    const control = await startHeadscale(this.#programs.headscale, folder, address, map)
    this.#control = control
    return control
  }

  async #startClient(name: string, { url, authKey }: Pick<Control, 'url' | 'authKey'>): Promise<Client> {
    const host = this.#lab.host(`${name}.example.com`)
    const env = { SSL_CERT_FILE: this.#authority.certPath, TS_DEBUG_ALWAYS_USE_DERP: '0' }
    const options = { folder: this.#folder.path, host, env, programs: this.#programs }
    const client = this.#stack.own(await Client.start(name, options))
    await client.logIn(url, authKey)
    return client
  }
}

/** The commands of docs/systemd.md. */
function commandsForCertificates(): string {
  const page = readFileSync(join(DEPLOY, '../docs/systemd.md'), 'utf8')
  const [, commands] = /\*\*Certificates from files\.\*\*[^]*?```sh\n([^]*?)```/.exec(page) ?? []
  if (commands === undefined) throw new Error('docs/systemd.md has no commands for certificates')
  return commands
}
