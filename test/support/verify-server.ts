// An admission backend whose behaviour a test changes while it runs: answers at once, late, never, or with an error.

import { createServer, type Server } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

export class VerifyServer implements AsyncDisposable {
  /** Time before the answer; undefined: requests are never answered. */
  delayMs: number | undefined = 0
  status = 200
  answer = '{"Allow":true}'
  /** Requests: open now, most open at once, and in all. */
  open = 0
  openMax = 0
  requestCount = 0
  readonly #server: Server

  private constructor() {
    this.#server = createServer((request, response) => {
      this.requestCount++
      this.openMax = Math.max(this.openMax, ++this.open)
      response.on('close', () => this.open--)
      request.resume().on('end', async () => {
        if (this.delayMs === undefined) return
        await sleep(this.delayMs)
        response.statusCode = this.status
        response.end(this.answer)
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
