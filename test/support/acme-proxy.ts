// A proxy in front of an ACME server that can make it misbehave: each fault is one that an authority or the network may have.
// Without a fault it changes nothing. Passes the Host on, so that all addresses in the server's answers lead through the proxy.

import { readFileSync } from 'node:fs'
import { createServer, Agent, request, type Server } from 'node:https'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'

export interface AcmeAnswer {
  status: number
  headers: Record<string, string>
  body: string
}

/** Changes an answer, or returns false: then there is none. */
export type AcmeFault = (path: string, answer: AcmeAnswer) => void | false | Promise<void>

export class AcmeProxy implements AsyncDisposable {
  readonly directoryUrl: string
  /** Undefined: none. */
  fault: AcmeFault | undefined = undefined
  /** Method and path of each request. */
  readonly requests: string[] = []
  readonly #server: Server
  readonly #agent = new Agent({ rejectUnauthorized: false, keepAlive: true })

  private constructor(server: Server, path: string) {
    this.#server = server
    const { port } = server.address() as AddressInfo
    this.directoryUrl = `https://127.0.0.1:${port}${path}`
  }

  /** @param keyPath of the server's own HTTPS port, whose certificate the proxy uses, too */
  static async start(directoryUrl: string, files: { certPath: string; keyPath: string }): Promise<AcmeProxy> {
    const { origin, pathname } = new URL(directoryUrl)
    const server = createServer({ cert: readFileSync(files.certPath), key: readFileSync(files.keyPath) })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const proxy = new AcmeProxy(server, pathname)
    server.on('request', (received, response) => void proxy.#pass(origin, received, response))
    return proxy
  }

  async #pass(origin: string, received: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = received.url ?? ''
    this.requests.push(`${received.method} ${path}`)
    const body = await bodyOf(received)
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
    const { method, headers } = received
    request(`${origin}${path}`, { method, headers, agent: this.#agent }, resolve)
      .on('error', reject)
      .end(body)
    const answered = await promise
    const answer: AcmeAnswer = {
      status: answered.statusCode ?? 0,
      headers: Object.fromEntries(
        Object.entries(answered.headers).map(([name, value]) => [name, String(value)]),
      ),
      body: (await bodyOf(answered)).toString(),
    }
    if ((await this.fault?.(path, answer)) === false) return
    if (method !== 'HEAD') answer.headers['content-length'] = String(Buffer.byteLength(answer.body))
    response.writeHead(answer.status, answer.headers).end(answer.body)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy()
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** The server's answer to every request is a problem document. */
export function problem(status: number, type: string, headers: Record<string, string> = {}): AcmeFault {
  return (_, answer) => {
    Object.assign(answer.headers, headers, { 'content-type': 'application/problem+json' })
    answer.status = status
    answer.body = JSON.stringify({ type: `urn:ietf:params:acme:error:${type}`, detail: `test of ${type}` })
  }
}

/**
 * Only answers whose path begins so have the fault. A server refuses some nonces on purpose; that answer is passed on as it is,
 * and the fault is for the repeated request.
 */
export function at(prefix: string, fault: AcmeFault): AcmeFault {
  return (path, answer) =>
    path.startsWith(prefix) && !answer.body.includes(':error:badNonce') ? fault(path, answer) : undefined
}
