// A file system of a megabyte that only the programs of a test see: it can be filled to the last byte, emptied, and made
// read-only. In a mount namespace of its own, which needs root.

import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startProcess, type RunningProcess } from './process.ts'

const BYTES = 1_048_576
const FILLER = 'filler'

export const canMakeDisk =
  spawnSync('unshare', ['--mount', 'sh', '-c', 'mount -t tmpfs none /mnt && nsenter --version'], {
    stdio: 'ignore',
  }).status === 0
if (!canMakeDisk)
  process.stderr.write('SKIPPING tests of full and read-only disks: they need root, unshare and nsenter\n')

export class SmallDisk implements AsyncDisposable {
  /** Where programs that are started with `prefix` see it. */
  readonly path: string
  readonly #holder: RunningProcess

  private constructor(path: string, holder: RunningProcess) {
    this.path = path
    this.#holder = holder
  }

  /** @param path a folder that becomes the disk */
  static async mount(path: string): Promise<SmallDisk> {
    mkdirSync(path, { recursive: true })
    const script = `mount -t tmpfs -o size=${BYTES},mode=0755 none "$0" && echo mounted && exec sleep 100000`
    const args = ['--mount', '--propagation', 'private', 'sh', '-c', script, path]
    return new SmallDisk(path, await startProcess('unshare', args, { readyWhen: /mounted/ }))
  }

  /** A command that runs another one where the disk is. */
  get prefix(): readonly string[] {
    return ['nsenter', '--mount', '--target', `${this.#holder.pid}`]
  }

  /** A path on the disk, as this process sees it. */
  seen(...names: readonly string[]): string {
    return join(`/proc/${this.#holder.pid}/root`, this.path, ...names)
  }

  /** Leaves no byte. */
  fill(): void {
    const [size, step] = [BYTES, 4_096]
    for (let written = 0; written < size; written += step) {
      try {
        writeFileSync(this.seen(FILLER), Buffer.alloc(step, 1), { flag: 'a' })
      } catch {
        return
      }
    }
  }

  empty(): void {
    rmSync(this.seen(FILLER), { force: true })
  }

  setReadOnly(isReadOnly: boolean): void {
    const [command = '', ...args] = this.prefix
    execFileSync(command, [...args, 'mount', '-o', `remount,${isReadOnly ? 'ro' : 'rw'}`, this.path])
  }

  /** Path and content of each file, without sockets and the filler. */
  files(folder = ''): ReadonlyMap<string, string> {
    const entries = readdirSync(this.seen(folder), { recursive: true, withFileTypes: true })
    const files = entries.filter((entry) => entry.isFile() && entry.name !== FILLER)
    return new Map(
      files.map((entry) => {
        const path = join(entry.parentPath, entry.name)
        return [path.slice(this.seen().length + 1), readFileSync(path, 'utf8')]
      }),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#holder.stop()
  }
}
