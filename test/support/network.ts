// A second host: a network namespace that a virtual Ethernet pair connects to this one and that can be unplugged. Needs
// root on Linux; tests skip without it.

import { existsSync } from 'node:fs'
import { runOk, runProcess } from './process.ts'

/** Test files that run at the same time have networks of their own: this process is on each. */
const NUMBER = 120 + Number(process.env['VITEST_POOL_ID'] ?? 1)
/** From the address block for benchmarks (RFC 2544). Nothing else here uses these addresses. */
const OUR_ADDRESS = `198.18.${NUMBER}.1`
const THEIR_ADDRESS = `198.18.${NUMBER}.2`

/** Returns whether this process may make such hosts. */
export async function canMakeNetworks(): Promise<boolean> {
  return await runOk('ip', ['netns', 'list']).then(
    () => process.getuid?.() === 0,
    () => false,
  )
}

export class FarHost implements AsyncDisposable {
  readonly ourAddress = OUR_ADDRESS
  readonly theirAddress = THEIR_ADDRESS
  readonly #name: string
  readonly #ourEnd: string

  private constructor(name: string) {
    this.#name = name
    this.#ourEnd = `${name}a`
  }

  static async make(): Promise<FarHost> {
    await FarHost.#removeOrphans()
    const host = new FarHost(`df${process.pid}`)
    const [ours, theirs] = [`${host.#name}a`, `${host.#name}b`]
    await runOk('ip', ['netns', 'add', host.#name])
    await runOk('ip', ['link', 'add', ours, 'type', 'veth', 'peer', 'name', theirs, 'netns', host.#name])
    await runOk('ip', ['addr', 'add', `${OUR_ADDRESS}/24`, 'dev', ours])
    await runOk('ip', ['link', 'set', ours, 'up'])
    await host.run('ip', ['addr', 'add', `${THEIR_ADDRESS}/24`, 'dev', theirs])
    await host.run('ip', ['link', 'set', theirs, 'up'])
    return host
  }

  /** Removes hosts of processes that were killed: with their addresses still in use, this host could not be reached. */
  static async #removeOrphans(): Promise<void> {
    const { stdout } = await runProcess('ip', ['netns', 'list'])
    for (const [name, pid] of stdout.matchAll(/^df(\d+)/gm)) {
      if (!existsSync(`/proc/${pid}`)) await new FarHost(name)[Symbol.asyncDispose]()
    }
  }

  /** Runs a program on the host to its end. */
  async run(command: string, args: readonly string[]): Promise<void> {
    await runOk('ip', ['netns', 'exec', this.#name, command, ...args])
  }

  /** The arguments of `ip` that run a command on the host. */
  get prefix(): readonly string[] {
    return ['netns', 'exec', this.#name]
  }

  /** Drops all packets from and to the host; programs get no notice. */
  async unplug(): Promise<void> {
    await this.run('ip', ['link', 'set', `${this.#name}b`, 'down'])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await runOk('ip', ['link', 'del', this.#ourEnd]).catch(() => undefined)
    await runOk('ip', ['netns', 'del', this.#name]).catch(() => undefined)
  }
}

/** A host with nothing but its loopback interface, on which low ports are free. */
export class LoneHost implements AsyncDisposable {
  readonly #name = `lone${process.pid}`

  static async make(): Promise<LoneHost> {
    const host = new LoneHost()
    await runOk('ip', ['netns', 'add', host.#name])
    await runOk('ip', [...host.prefix.slice(1), 'ip', 'link', 'set', 'lo', 'up'])
    return host
  }

  /** A command that runs the command after it on the host. */
  get prefix(): readonly string[] {
    return ['ip', 'netns', 'exec', this.#name]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await runOk('ip', ['netns', 'del', this.#name]).catch(() => undefined)
  }
}
