// A Debian root file system of its own to run programs in, without systemd, without a network but loopback, and without a way to
// this machine's files. Needs root.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { runOk, runProcess, type RunResult } from './process.ts'

/** Mounts vanish with the namespace, and processes end with it. */
const INSIDE = `set -e
mount --rbind /dev "$0/dev"
mount -t proc proc "$0/proc"
mount -t tmpfs tmpfs "$0/tmp"
ip link set lo up
exec chroot "$0" /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin sh -c "$1"`

export class DebianRoot implements Disposable {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /** @param archive of the recipe debian-root */
  static async unpack(archive: string, path: string): Promise<DebianRoot> {
    mkdirSync(path, { recursive: true })
    await runOk('tar', ['-xf', archive, '-C', path, '--exclude=./dev/*'], { timeoutMs: 120_000 })
    return new DebianRoot(path)
  }

  /** Runs a line of the shell in it. */
  run(line: string): Promise<RunResult> {
    const namespaces = [
      '--mount',
      '--net',
      '--uts',
      '--ipc',
      '--pid',
      '--fork',
      '--kill-child',
      '--propagation',
      'private',
    ]
    return runProcess('unshare', [...namespaces, 'sh', '-c', INSIDE, this.path, line], { timeoutMs: 180_000 })
  }

  /** What it prints with success. @throws Error with all that it printed */
  async ok(line: string): Promise<string> {
    const { code, stdout, stderr } = await this.run(line)
    if (code !== 0) throw new Error(`${line}: ${code}\n${stdout}${stderr}`)
    return stdout
  }

  write(path: string, content: string | Buffer): void {
    mkdirSync(dirname(join(this.path, path)), { recursive: true })
    writeFileSync(join(this.path, path), content)
  }

  read(path: string): string {
    return readFileSync(join(this.path, path), 'utf8')
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true })
  }
}
