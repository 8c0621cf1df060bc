// The plain HTTP port beside a TLS relay: captive-portal checks and redirects, by uWebSockets.js directly.

import type * as uWS from 'uWebSockets.js'
import { servePlainPages } from './http-pages.ts'
import { App, localPortOf } from './uws.ts'

export class PlainPort {
  readonly #app = App()

  /** Listens and returns the real port. */
  async listen(endpoint: { host: string; port: number }): Promise<number> {
    servePlainPages(this.#app)
    return await new Promise((resolve, reject) => {
      const onListen = (token: uWS.us_listen_socket | false): void => {
        if (token === false || !token) reject(new Error('the system refused without a reason'))
        else resolve(localPortOf(token))
      }
      this.#app.listen(endpoint.host, endpoint.port, onListen)
    })
  }

  close(): void {
    this.#app.close()
  }
}
