// Starts the admission backend of a figure on the generator's processor, and ends it.

import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { VerifyAnswer, VerifyOrder } from './verify-process.ts'

export class VerifyBackend {
  readonly url: string
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, url: string) {
    this.#child = child
    this.url = url
  }

  /** It answers at once. @param cpus in the format of taskset */
  static async start(cpus: string): Promise<VerifyBackend> {
    const program = fileURLToPath(new URL('verify-process.ts', import.meta.url))
    const command = [process.execPath, '--disable-warning=ExperimentalWarning', program]
    const child = spawn('taskset', ['-c', cpus, ...command], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    return new VerifyBackend(child, (await order(child, { delayMs: 0 })).url)
  }

  /** From now on it answers so late, or never if null. Returns the requests since the last call. */
  async answerAfter(delayMs: number | null): Promise<number> {
    return (await order(this.#child, { delayMs })).requests
  }

  async stop(): Promise<void> {
    const exited = once(this.#child, 'exit')
    this.#child.disconnect()
    await exited
  }
}

async function order(child: ChildProcess, message: VerifyOrder): Promise<VerifyAnswer> {
  const answered = once(child, 'message')
  child.send(message)
  return ((await answered) as [VerifyAnswer])[0]
}
