// The control server of Tailscale's own tests as a child process: it gives clients the whole DERP map, scores included, and
// every client is welcome.

import { freePort, startProcess, type RunningProcess } from './process.ts'

export class TestControl implements AsyncDisposable {
  readonly url: string
  readonly #server: RunningProcess

  private constructor(url: string, server: RunningProcess) {
    this.url = url
    this.#server = server
  }

  /** @param address the address that it listens on */
  static async start(program: string, address: string): Promise<TestControl> {
    const at = `${address}:${await freePort()}`
    return new TestControl(`http://${at}`, await startProcess(program, [at], { readyWhen: /^listening$/m }))
  }

  /** Gives all clients this map, in Tailscale's JSON. */
  async setMap(text: string): Promise<void> {
    const answer = await fetch(`${this.url}/derpmap`, { method: 'PUT', body: text })
    if (!answer.ok) throw new Error(await answer.text())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop()
  }
}
