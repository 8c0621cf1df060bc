// The local API of a tailscaled, as far as `tailscale netcheck` needs it: it gives a DERP map that the test sets. So the real
// program measures any map, without a control server.

import { once } from 'node:events'
import { createServer, type Server } from 'node:http'

export class LocalApi implements AsyncDisposable {
  readonly socketPath: string
  /** A DERP map in Tailscale's JSON. */
  map: object = {}
  readonly #server: Server

  private constructor(socketPath: string) {
    this.socketPath = socketPath
    this.#server = createServer((request, response) => {
      const isMap = request.url?.startsWith('/localapi/v0/derpmap') === true
      response.writeHead(isMap ? 200 : 404, { 'Content-Type': 'application/json' })
      response.end(isMap ? JSON.stringify(this.map) : '')
    })
  }

  static async start(socketPath: string): Promise<LocalApi> {
    const api = new LocalApi(socketPath)
    api.#server.listen(socketPath)
    await once(api.#server, 'listening')
    return api
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}
