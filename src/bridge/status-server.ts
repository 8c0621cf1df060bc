// Answers who asks how the bridge is: over a Unix socket that only the bridge's user and root may open, and on request over HTTP
// for Prometheus. Reads nothing of a request but its path.

import { once } from 'node:events'
import { mkdirSync, chmodSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { dirname } from 'node:path'
import type { Bridge } from './bridge.ts'
import { metricsPage, statusOf } from './status.ts'

/** More than a scraper, a person and a probe. */
const CONNECTIONS_MAX = 16
const TIMEOUT_MS = 5_000

export class StatusServer {
  readonly #servers: Server[] = []
  readonly #bridge: Bridge
  #path: string | undefined

  constructor(bridge: Bridge) {
    this.#bridge = bridge
  }

  /** @throws Error if the socket cannot be made */
  async listenOn(path: string): Promise<void> {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
    // Of a bridge that was killed. One that runs has the VPN's ports, too, so that this one would not have come so far.
    rmSync(path, { force: true })
    const server = this.#newServer()
    server.listen(path)
    await once(server, 'listening')
    chmodSync(path, 0o600)
    this.#path = path
  }

  /** @throws Error if the port cannot be had */
  async listenOnPort(host: string, port: number): Promise<void> {
    const server = this.#newServer()
    server.listen(port, host)
    await once(server, 'listening')
  }

  stop(): void {
    for (const server of this.#servers) {
      server.close()
      server.closeAllConnections()
    }
    if (this.#path !== undefined) rmSync(this.#path, { force: true })
  }

  #newServer(): Server {
    const server = createServer((request, response) => {
      const status = statusOf(this.#bridge)
      if (request.method !== 'GET') {
        response.writeHead(405).end()
      } else if (request.url === '/metrics') {
        response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' })
        response.end(metricsPage(status))
      } else if (request.url === '/status') {
        response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(status))
      } else {
        response.writeHead(404).end()
      }
    })
    server.maxConnections = CONNECTIONS_MAX
    server.requestTimeout = server.headersTimeout = TIMEOUT_MS
    this.#servers.push(server)
    return server
  }
}
