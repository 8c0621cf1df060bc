// Relays of one regions file as processes on loopback, each on ports of its own, with certificates of one authority and quick
// reactions to what happens to the others.

import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { newKeyPair } from '#client/derp-client.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { issueCertificate, makeAuthority } from './certificate.ts'
import { freePort, startProcess, type RunningProcess } from './process.ts'
import { PROGRAM } from './program-path.ts'

/** A relay is down after 13 s of silence, and the map follows at once. */
const QUICK = ['-state-interval', '1s', '-map-removal', '1s', '-map-return', '1s']

export interface NodePorts {
  readonly derp: number
  readonly stun: number
  readonly admin: number
}

export class LoopbackFleet implements AsyncDisposable {
  readonly folder: string
  readonly caPath: string
  readonly #ports = new Map<string, NodePorts>()
  readonly #running = new Map<string, RunningProcess>()

  private constructor(folder: string, caPath: string) {
    this.folder = folder
    this.caPath = caPath
  }

  /** @param regions makes the regions file, given the fields of each node */
  static async make(
    nodes: readonly string[],
    regions: (fieldsOf: (node: string) => string) => string,
  ): Promise<LoopbackFleet> {
    const folder = await mkdtemp(join(tmpdir(), 'loopback-'))
    const authority = await makeAuthority(folder, 'authority')
    await issueCertificate(folder, 'localhost', authority)
    await writeFile(join(folder, 'psk'), randomBytes(32).toString('hex'), { mode: 0o600 })
    const fleet = new LoopbackFleet(folder, authority.certPath)
    for (const node of nodes) {
      fleet.#ports.set(node, { derp: await freePort(), stun: await freePort(), admin: await freePort() })
      await writeFile(join(folder, `${node}.json`), formatKeyFile(newKeyPair()), { mode: 0o600 })
    }
    await writeFile(
      join(folder, 'regions.yaml'),
      regions((node) => fleet.#fieldsOf(node)),
    )
    return fleet
  }

  get regions(): Promise<string> {
    return readFile(join(this.folder, 'regions.yaml'), 'utf8')
  }

  async setRegions(text: string): Promise<void> {
    await writeFile(join(this.folder, 'regions.yaml'), text)
  }

  ports(node: string): NodePorts {
    const ports = this.#ports.get(node)
    if (ports === undefined) throw new Error(`no node ${node}`)
    return ports
  }

  async start(node: string, ...more: readonly string[]): Promise<void> {
    const file = (name: string): string => join(this.folder, name)
    const { derp, stun, admin } = this.ports(node)
    const at = ['-a', `127.0.0.1:${derp}`, '-stun-port', `${stun}`, '-http-port', '-1', '-threads', '1']
    const identity = ['-c', file(`${node}.json`), '-hostname', 'localhost', '-node', node, '-open-relay']
    const certificates = ['-certmode', 'manual', '-certdir', this.folder, '-mesh-ca-file', this.caPath]
    const mesh = ['-mesh-psk-file', file('psk'), '-regions-file', file('regions.yaml')]
    const own = ['-admin', `127.0.0.1:${admin}`, '-state-dir', file(`state-${node}`), ...QUICK]
    const args = ['serve', ...at, ...identity, ...certificates, ...mesh, ...own, ...more]
    this.#running.set(node, await startProcess(PROGRAM, args, { readyWhen: /"relay_started"/ }))
  }

  async kill(node: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    this.#running.get(node)?.signal(signal)
    await this.#running.get(node)?.exited
  }

  output(node: string): string {
    return this.#running.get(node)?.output ?? ''
  }

  /** A page of the relay's admin port. */
  async page(node: string, path: string): Promise<string> {
    return await (await fetch(`http://127.0.0.1:${this.ports(node).admin}${path}`)).text()
  }

  /** The map that the relay serves. */
  async map(node: string): Promise<string> {
    return await this.page(node, '/derpmap.json')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.values()].map(async (one) => await one.stop()))
    await rm(this.folder, { recursive: true, force: true })
  }

  #fieldsOf(node: string): string {
    const { derp, stun } = this.ports(node)
    const address = 'hostname: localhost, ipv4: 127.0.0.1, ipv6: none'
    return `name: ${node}, ${address}, derpport: ${derp}, stunport: ${stun}`
  }
}
