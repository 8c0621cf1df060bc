// A back end of admission whose manner a test changes while it runs: at once, late, never, or with an error.

import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export class VerifyServer implements AsyncDisposable {
  /** Undefined: the question is taken, and never answered. */
  delayMs: number | undefined = 0
  status = 200
  /** Questions that are open now, at most, and in all. */
  open = 0
  openMax = 0
  asked = 0
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => {
      this.asked++
      this.openMax = Math.max(this.openMax, ++this.open)
      response.on('close', () => this.open--)
      request.resume().on('end', async () => {
        if (this.delayMs === undefined) return
        await sleep(this.delayMs)
        response.statusCode = this.status
        response.end('{"Allow":true}')
      })
    })
  }

  static async start(): Promise<VerifyServer> {
    const server = new VerifyServer()
    server.#server.listen(0, '127.0.0.1')
    await once(server.#server, 'listening')
    return server
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/verify`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
