// Starts a process of attackers on the generator's processor, and ends it.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { toHex } from '#protocol/bytes.ts'
import type { Server } from '../server.ts'
import { serverKeyAt } from './login-file.ts'

export type AttackKind = 'one-key' | 'unfinished-logins'

/** It comes after all that measures on the same processor. */
const NICE = '10'

export class AttackProcess {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  /** Resolves when the attack has begun. @param cpus in the format of taskset. @throws Error if it ends before */
  static async start(
    kind: AttackKind,
    { count, server, cpus }: { readonly count: number; readonly server: Server; readonly cpus: string },
  ): Promise<AttackProcess> {
    const program = fileURLToPath(new URL('attackers.ts', import.meta.url))
    const serverKey = toHex(await serverKeyAt(server.address))
    const command = [process.execPath, '--disable-warning=ExperimentalWarning', program]
    const args = [kind, `${count}`, `${server.address.port}`, serverKey]
    const child = spawn('taskset', ['-c', cpus, 'nice', '-n', NICE, ...command, ...args], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    const attack = new AttackProcess(child)
    const ended = once(child, 'exit').then(() => 'ended' as const)
    if ((await Promise.race([once(child, 'message'), ended])) === 'ended')
      throw new Error(`the attackers ended before their attack: ${kind}`)
    return attack
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exited
  }
}
