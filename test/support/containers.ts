// Images and containers by podman and runc, in a storage of their own that vanishes with it. Containers run as a careful
// operator runs them: a root that nobody can write to, no capabilities, no new privileges. Needs root.

import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runOk, runProcess, type RunResult } from './process.ts'

/** Copying a file system of a few hundred megabytes on a busy disk. */
const TIMEOUT_MS = 300_000

/** Without limits of their own, containers would ask for more than this machine may give. */
const LIMITS = ['--ulimit', 'nofile=20000:20000', '--ulimit', 'nproc=4096:4096', '--pids-limit', '0']
/** podman would mount folders that can be written to over some of the root's. */
const READ_ONLY = ['--read-only', '--read-only-tmpfs=false']
const WITHOUT_RIGHTS = ['--cap-drop', 'ALL', '--security-opt', 'no-new-privileges']

export interface ContainerOptions {
  readonly image: string
  /** The path of a network namespace. */
  readonly network: string
  readonly env?: Readonly<Record<string, string>>
  /** `SOURCE:TARGET[:ro]`, a folder or the name of a volume. */
  readonly volumes?: readonly string[]
  /** Addresses by host name. */
  readonly hosts?: Readonly<Record<string, string>>
}

export class Containers implements AsyncDisposable {
  readonly #podman: string
  readonly #folder: string
  readonly #options: readonly string[]

  constructor(podman: string) {
    this.#podman = podman
    this.#folder = mkdtempSync(join(tmpdir(), 'containers-'))
    const places = ['--root', join(this.#folder, 'storage'), '--runroot', join(this.#folder, 'run')]
    const ways = ['--storage-driver', 'vfs', '--runtime', 'runc', '--cgroup-manager', 'cgroupfs']
    this.#options = [...places, ...ways, '--events-backend', 'none']
  }

  /** The start of a command line that builds images into this storage, for deploy/docker/build. */
  get builder(): string {
    const build = ['build', '--format', 'docker', '--isolation', 'chroot', '--layers=false']
    return [this.#podman, ...this.#options, ...build].join(' ')
  }

  async run(...args: readonly string[]): Promise<RunResult> {
    // Without systemd there is nobody who would ask for the health by the clock.
    const env = { DISABLE_HC_SYSTEMD: 'true' }
    return await runProcess(this.#podman, [...this.#options, ...args], { env, timeoutMs: TIMEOUT_MS })
  }

  /** What it prints with success. @throws Error with all that it printed */
  async ok(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args)
    if (code !== 0) throw new Error(`podman ${args.join(' ')}: ${code}\n${stdout}${stderr}`)
    return stdout
  }

  /** An image of the files in an archive. */
  async import(archive: string, image: string, architecture: string): Promise<void> {
    await this.ok('import', '--arch', architecture, '--os', 'linux', archive, image)
  }

  /** An image like another one, but for a file. */
  async derive(image: string, from: string, file: { path: string; text: string }): Promise<void> {
    const container = (await this.ok('create', from)).trim()
    const path = join(this.folder(), 'file')
    writeFileSync(path, file.text)
    await this.ok('cp', path, `${container}:${file.path}`)
    await this.ok('commit', '--format', 'docker', container, image)
    await this.ok('rm', '--volumes', container)
  }

  /** A copy of the image's files. */
  async filesOf(image: string): Promise<string> {
    const container = (await this.ok('create', image)).trim()
    const folder = this.folder()
    const archive = join(this.folder(), 'files.tar')
    await this.ok('export', '--output', archive, container)
    await runOk('tar', ['-xpf', archive, '-C', folder], { timeoutMs: TIMEOUT_MS })
    await this.ok('rm', '--volumes', container)
    return folder
  }

  /** Runs the image's program with these arguments to its end. */
  async once(options: ContainerOptions, ...args: readonly string[]): Promise<RunResult> {
    return await this.run('run', '--rm', ...flagsOf(options), options.image, ...args)
  }

  /** Starts the image's program with its usual arguments. */
  async start(name: string, options: ContainerOptions): Promise<Container> {
    await this.ok('run', '--detach', '--name', name, ...flagsOf(options), options.image)
    return new Container(name, this)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run('rm', '--all', '--force', '--time', '0', '--volumes')
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** An empty folder that lives as long as this. */
  folder(): string {
    return mkdtempSync(join(this.#folder, 'folder-'))
  }
}

function flagsOf({ network, env = {}, volumes = [], hosts = {} }: ContainerOptions): readonly string[] {
  return [
    '--network',
    `ns:${network}`,
    ...LIMITS,
    ...READ_ONLY,
    ...WITHOUT_RIGHTS,
    ...Object.entries(env).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
    ...Object.entries(hosts).flatMap(([name, address]) => ['--add-host', `${name}:${address}`]),
    ...volumes.flatMap((volume) => ['--volume', volume]),
  ]
}

export class Container {
  readonly name: string
  readonly #containers: Containers

  constructor(name: string, containers: Containers) {
    this.name = name
    this.#containers = containers
  }

  /** Runs a command in it. */
  async exec(...command: readonly string[]): Promise<RunResult> {
    return await this.#containers.run('exec', this.name, ...command)
  }

  /** The same without podman, which does nothing else with a container that it stops. @param pid of its program */
  static async enter(pid: number, env: NodeJS.ProcessEnv, ...command: readonly string[]): Promise<RunResult> {
    const as = ['--setuid', `${statSync(`/proc/${pid}`).uid}`, '--setgid', `${statSync(`/proc/${pid}`).gid}`]
    return await runProcess('nsenter', ['--target', `${pid}`, '--mount', '--net', ...as, ...command], { env })
  }

  /** Runs the image's health check once. */
  async checkHealth(): Promise<RunResult> {
    return await this.#containers.run('healthcheck', 'run', this.name)
  }

  /** The process of its program, as this machine numbers it. */
  async pid(): Promise<number> {
    return Number(await this.#containers.ok('inspect', '--format', '{{.State.Pid}}', this.name))
  }

  /** What the program has printed, on both streams. */
  async log(): Promise<string> {
    const { stdout, stderr } = await this.#containers.run('logs', this.name)
    return stdout + stderr
  }

  /** Tells the program to stop, and kills it at the end of the grace. Resolves to its exit code. */
  async stop(graceSeconds: number): Promise<number> {
    await this.#containers.ok('stop', '--time', `${graceSeconds}`, this.name)
    return Number(await this.#containers.ok('inspect', '--format', '{{.State.ExitCode}}', this.name))
  }

  async remove(): Promise<void> {
    await this.#containers.ok('rm', this.name)
  }
}
