// The HTTP server behind the relay's control socket: who may connect to it is the relay's own user or root. Connections and
// the time that a request may take to arrive are bounded; what a request means is verb-calls.ts. Where the server listens
// is the caller's. Runs on the control thread.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { AdminConnections } from './admin-connections.ts'
import { endServer } from './server-end.ts'
import type { VerbCalls } from './verb-calls.ts'

/** A command sends its request at once. */
const REQUEST_TIMEOUT_MS = 5_000
const TIMEOUTS_CHECKED_MS = 1_000
/** Commands send one request; nothing is gained by keeping their connections. */
const KEEP_ALIVE_TIMEOUT_MS = 1_000
const HEAD_BYTES_MAX = 4_096
/** Operators and their scripts; each connection costs a file descriptor. */
const CONNECTIONS_MAX = 16
const PENDING_REQUESTS_MAX = 2

export class VerbServer {
  readonly #calls: VerbCalls
  readonly #callerOf: (socket: Socket) => string
  readonly #connections = new AdminConnections(CONNECTIONS_MAX, PENDING_REQUESTS_MAX)
  readonly server: Server

  /** @param callerOf who has made a connection, for the audit line */
  constructor(calls: VerbCalls, callerOf: (socket: Socket) => string) {
    this.#calls = calls
    this.#callerOf = callerOf
    this.server = createServer(
      {
        headersTimeout: REQUEST_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        connectionsCheckingInterval: TIMEOUTS_CHECKED_MS,
        keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
        maxHeaderSize: HEAD_BYTES_MAX,
      },
      (request, response) => void this.#serve(request, response),
    )
    this.server.on('connection', (socket) => this.#connections.add(socket))
  }

  /** Stops listening, lets callers read the answers under way, and closes all connections. */
  async close(): Promise<void> {
    await endServer(this.server)
  }

  /** Stops listening; calls under way go on. */
  retire(): void {
    this.server.close()
  }

  /** Closes all connections at once. */
  cut(): void {
    this.server.closeAllConnections()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answered = new Promise<void>((resolve) => {
      response.once('close', resolve)
    })
    if (!(await this.#connections.turn(request.socket, answered))) return
    await this.#calls.serve(request, response, this.#callerOf(request.socket))
  }
}
