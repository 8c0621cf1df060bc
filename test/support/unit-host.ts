// A host of a lab with folders of its own (/etc, /run, /var/lib, /usr/local), on which the service runs as its unit and drop-ins
// say: command line, environment, user, capabilities, credentials, folders. Not systemd, which containers rarely let run: what
// the unit says of isolation, of restarts and of the watchdog has no effect here.

import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { chmodSync, chownSync, existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { LabHost } from './lab.ts'
import { runOk, startProcess, type RunningProcess } from './process.ts'
import { PROGRAM } from './program-path.ts'

const SYSTEMD = new URL('../../deploy/systemd/', import.meta.url)
const UNIT = 'derpfleet.service'
/** Of systemd's range for dynamic users. */
const USER = 61_200
const CREDENTIALS = `/run/credentials/${UNIT}`
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** `ip netns exec` has given the process mounts of its own. */
const INSIDE = `for part in etc run var/lib usr/local/bin usr/local/sbin; do mount --bind "$0/$part" "/$part"; done
exec "$@"`
const WITH_MASK = 'umask "$0"; exec "$@"'

export interface HostFile {
  readonly path: string
  readonly content: string
  readonly mode: number
}

export class UnitHost implements AsyncDisposable {
  readonly host: LabHost
  readonly #root: string
  #running: RunningProcess | undefined = undefined

  private constructor(host: LabHost, root: string) {
    this.host = host
    this.#root = root
  }

  /**
   * A host on which the program and its unit are installed.
   *
   * @param root an empty folder for its folders
   * @param names lines of its hosts file
   */
  static make(host: LabHost, root: string, names: readonly string[]): UnitHost {
    const made = new UnitHost(host, root)
    cpSync('/etc', join(root, 'etc'), { recursive: true, verbatimSymlinks: true })
    for (const part of ['run', 'var/lib', 'usr/local/bin', 'usr/local/sbin'])
      mkdirSync(join(root, part), { recursive: true })
    made.write('/etc/hosts', ['127.0.0.1 localhost', ...names, ''].join('\n'))
    made.write(`/etc/systemd/system/${UNIT}`, readFileSync(new URL(UNIT, SYSTEMD), 'utf8'))
    symlinkSync(PROGRAM, join(root, 'usr/local/bin/derpfleet'))
    return made
  }

  write(path: string, content: string, mode = 0o644): void {
    const whole = join(this.#root, path)
    mkdirSync(dirname(whole), { recursive: true })
    writeFileSync(whole, content)
    chmodSync(whole, mode)
  }

  install(files: readonly HostFile[]): void {
    for (const { path, content, mode } of files) this.write(path, content, mode)
  }

  read(path: string): string {
    return readFileSync(join(this.#root, path), 'utf8')
  }

  /** Runs a line of the shell as root, and returns what it prints. */
  async run(line: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
    const [command, args] = this.#inside('sh', '-euc', line)
    return await runOk(command, args, { env: { PATH, ...env } })
  }

  /** `systemctl start derpfleet`. */
  async start(): Promise<void> {
    const unit = this.#unit()
    for (const folder of unit.all('StateDirectory')) this.#makeOwn(`/var/lib/${folder}`)
    this.#makeOwn(CREDENTIALS)
    for (const credential of unit.all('LoadCredential')) {
      const [name = '', path = ''] = credential.split(':')
      this.write(join(CREDENTIALS, name), this.read(path), 0o400)
      chownSync(join(this.#root, CREDENTIALS, name), USER, USER)
    }
    const groups = await Promise.all(
      unit.all('SupplementaryGroups').map(async (name) => await this.#group(name)),
    )
    const capabilities = unit.words('AmbientCapabilities').map((name) => `,+${name.slice(4).toLowerCase()}`)
    const may = `-all${capabilities.join('')}`
    const rights = [`--inh-caps=${may}`, `--ambient-caps=${may}`, `--bounding-set=${may}`, '--no-new-privs']
    const user = [`--reuid=${USER}`, `--regid=${USER}`, `--groups=${[USER, ...groups].join(',')}`]
    const process = ['env', '-i', ...unit.environment(), 'setpriv', ...user, ...rights]
    const masked = ['sh', '-c', WITH_MASK, unit.one('UMask'), ...unit.words('ExecStart')]
    const [command, args] = this.#inside(...process, ...masked)
    this.#running = await startProcess(command, args, { readyWhen: /"event":"relay_started"/ })
  }

  /** `systemctl stop derpfleet`: a drain. */
  async stop(): Promise<void> {
    this.#running?.signal('SIGTERM')
    await this.#running?.exited
  }

  /** The end of the relay's log. */
  get log(): string {
    return this.#running?.output.slice(-3_000) ?? ''
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running?.stop()
  }

  #inside(...command: readonly string[]): [string, string[]] {
    return this.host.command('sh', '-c', INSIDE, this.#root, ...command)
  }

  #makeOwn(path: string): void {
    const whole = join(this.#root, path)
    mkdirSync(whole, { recursive: true })
    chmodSync(whole, 0o700)
    chownSync(whole, USER, USER)
  }

  async #group(name: string): Promise<string> {
    return (await this.run(`getent group ${name} | cut -d: -f3`)).trim()
  }

  #unit(): Unit {
    const path = `/etc/systemd/system/${UNIT}`
    const folder = join(this.#root, `${path}.d`)
    const dropIns = existsSync(folder) ? readdirSync(folder).toSorted() : []
    return new Unit(
      [path, ...dropIns.map((name) => `${path}.d/${name}`)].map((one) => this.read(one)).join('\n'),
    )
  }
}

/** A unit and its drop-ins. */
class Unit {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  all(name: string): readonly string[] {
    return [...this.#text.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value)
  }

  one(name: string): string {
    return this.all(name).at(-1) ?? ''
  }

  words(name: string): readonly string[] {
    return this.one(name).split(' ')
  }

  /** What the unit says, and what systemd adds. */
  environment(): readonly string[] {
    const own = this.all('Environment').map((value) => value.replace('%S', '/var/lib'))
    const [state, configuration] = [this.one('StateDirectory'), this.one('ConfigurationDirectory')]
    return [
      `PATH=${PATH}`,
      `STATE_DIRECTORY=/var/lib/${state}`,
      `CONFIGURATION_DIRECTORY=/etc/${configuration}`,
      `CREDENTIALS_DIRECTORY=${CREDENTIALS}`,
      ...own,
    ]
  }
}
