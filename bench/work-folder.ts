// A temporary folder with the certificate, node keys, mesh key and login files of a run. All servers of the run use it.
// A restarted server has the same node key, so the same login file fits.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { keyPairFrom, publicKeyText } from '#protocol/node-key.ts'
import { makeCertificate } from '../test/support/certificate.ts'
import { type Address, loginFile, newClients, serverKeyAt } from './load/login-file.ts'

export class WorkFolder {
  readonly path: string
  readonly #loginFiles = new Map<string, { path: string; count: number }>()
  readonly #keyPaths = new Map<string, string>()
  /** The same at every server, so that clients can move. */
  readonly #clients: Uint8Array[] = []

  readonly #removeOnExit = (): void => rmSync(this.path, { recursive: true, force: true })

  private constructor(path: string) {
    this.path = path
    process.once('exit', this.#removeOnExit)
  }

  static async make(): Promise<WorkFolder> {
    const path = await mkdtemp(join(tmpdir(), 'derpfleet-bench-'))
    await makeCertificate(path, 'localhost')
    await writeFile(join(path, 'psk'), randomBytes(32).toString('hex'), { mode: 0o600 })
    return new WorkFolder(path)
  }

  get certificatePath(): string {
    return join(this.path, 'localhost.crt')
  }

  get meshKeyPath(): string {
    return join(this.path, 'psk')
  }

  /** The state folder of the server on that port. */
  async stateFolder(port: number): Promise<string> {
    const path = join(this.path, `state-${port}`)
    await mkdir(path, { recursive: true })
    return path
  }

  /** The file with the node key of that name, which is made at the first call. */
  async keyPath(name: string): Promise<string> {
    const known = this.#keyPaths.get(name)
    if (known !== undefined) return known
    const { d = '' } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' })
    const secret = Buffer.from(d, 'base64url').toString('hex')
    const path = join(this.path, `${name}.json`)
    await writeFile(path, JSON.stringify({ PrivateKey: `privkey:${secret}` }), { mode: 0o600 })
    this.#keyPaths.set(name, path)
    return path
  }

  /** A file with at least `count` logins for the server at that address. */
  async logins(address: Address, count: number): Promise<string> {
    const key = await serverKeyAt(address)
    const name = Buffer.from(key).toString('hex').slice(0, 16)
    const known = this.#loginFiles.get(name)
    if (known !== undefined && known.count >= count) return known.path
    const path = join(this.path, `logins-${name}-${count}`)
    this.#clients.push(...newClients(Math.max(0, count - this.#clients.length)))
    await writeFile(path, loginFile(key, this.#clients.slice(0, count)))
    this.#loginFiles.set(name, { path, count })
    return path
  }

  /** A list of keys: the first clients of all login files have the tenants that `tenantOf` says, and `rules` are further lines. */
  async keyList(
    name: string,
    count: number,
    tenantOf: (client: number) => string,
    rules = '',
  ): Promise<string> {
    this.#clients.push(...newClients(Math.max(0, count - this.#clients.length)))
    const lines = this.#clients
      .slice(0, count)
      .map((client, n) => `${publicKeyText(keyPairFrom(client).publicKey)} tenant ${tenantOf(n)}\n`)
    const path = join(this.path, `${name}.txt`)
    await writeFile(path, [...lines, rules].join(''))
    return path
  }

  remove(): void {
    process.off('exit', this.#removeOnExit)
    this.#removeOnExit()
  }
}
