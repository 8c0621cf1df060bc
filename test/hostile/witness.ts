// The parent's end of the bystander's process: starts it, and asks it what it has seen.

import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Testimony } from './bystander.ts'
import type { Target } from './target.ts'

const BYSTANDER = fileURLToPath(new URL('bystander.ts', import.meta.url))

export class Witness implements AsyncDisposable {
  readonly #child: ChildProcess

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  static async start(target: Target): Promise<Witness> {
    const args = [`${target.port}`, target.door, Buffer.from(target.serverKey).toString('hex')]
    const child = fork(BYSTANDER, args, { execArgv: ['--disable-warning=ExperimentalWarning'] })
    const hasEnded = once(child, 'exit').then(() =>
      Promise.reject(new Error('the bystander got no connection')),
    )
    await Promise.race([once(child, 'message'), hasEnded])
    hasEnded.catch(() => undefined)
    return new Witness(child)
  }

  /** What happened since it was last asked. */
  async testify(): Promise<Testimony> {
    const answer = once(this.#child, 'message') as Promise<[Testimony]>
    this.#child.send('testify')
    return (await answer)[0]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null) return
    const exited = once(this.#child, 'exit')
    this.#child.send('end')
    await exited
  }
}

/** The value below which this share of them lies; they are ascending. */
export function quantile(ascending: readonly number[], share: number): number {
  return ascending[Math.min(ascending.length - 1, Math.floor(share * ascending.length))] ?? Number.NaN
}
