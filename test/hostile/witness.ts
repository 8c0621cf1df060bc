// The parent's side of the bystander's process: starts it, and asks it for its observations.

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Observations } from './bystander.ts'
import type { Target } from './target.ts'

const BYSTANDER = fileURLToPath(new URL('bystander.ts', import.meta.url))

export class Witness implements AsyncDisposable {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(target: Target): Promise<Witness> {
    const args = [`${target.port}`, target.portKind, Buffer.from(target.serverKey).toString('hex')]
    const child = fork(BYSTANDER, args, { execArgv: ['--disable-warning=ExperimentalWarning'] })
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('the bystander could not connect')))
    await Promise.race([once(child, 'message'), ended])
    ended.catch(() => undefined)
    return new Witness(child)
  }

  /** What has happened since the last call. */
  async observe(): Promise<Observations> {
    const answer = once(this.#child, 'message') as Promise<[Observations]>
    this.#child.send('observe')
    return (await answer)[0]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.send('end')
    await exited
  }
}

/** The value below which this share of the values lies. */
export function quantile(ascending: readonly number[], share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(share * ascending.length))] ?? Number.NaN
}
