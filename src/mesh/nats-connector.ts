// Keeps one connection to the NATS servers open. The library reconnects after interruptions; this file makes the first
// connection, and reconnects after errors that the library treats as final. Neither publishes nor subscribes. Runs on the
// control thread.
//
// Contract: nothing that happens to the connection throws or ends the process.

import { setTimeout as pause } from 'node:timers/promises'
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node'
import { backOffMs, type BackOff } from '#protocol/back-off.ts'

/** A connected server is pinged this often; after two pings without an answer it counts as lost. */
const PING_EVERY_MS = 5_000
const SILENT_PINGS_MAX = 2
const RECONNECT_MS = 1_000
const RECONNECT_BACK_OFF: BackOff = {
  firstMs: RECONNECT_MS,
  growth: 'constant',
  maxMs: RECONNECT_MS,
  jitter: { from: 1, to: 2 },
}
/** For a server that accepts the connection and sends nothing. */
const CONNECT_TIMEOUT_MS = 5_000
const CLOSE_TIMEOUT_MS = 1_000

export interface NatsServerSettings {
  /** `nats://host:port` or `tls://host:port`. */
  readonly servers: readonly string[]
  /** Authorities that may sign the servers' certificates, PEM; undefined: those that Node trusts. */
  readonly ca: string | undefined
}

export interface NatsConnectorParts {
  readonly settings: NatsServerSettings
  /** The credentials file, read again for each connection; undefined: the servers ask for none. */
  readonly credentials: (() => Uint8Array) | undefined
  /** The name that servers show for this client. */
  readonly clientName: () => string
  readonly onConnected: (server: string) => void
  /** The connection was lost, or an attempt has failed. */
  readonly onDisconnected: (reason: string) => void
}

export class NatsConnector {
  readonly #parts: NatsConnectorParts
  #connection: NatsConnection | undefined = undefined
  #isConnected = false
  #isClosed = false

  constructor(parts: NatsConnectorParts) {
    this.#parts = parts
  }

  /** Connects, and stays connected until `close`. */
  start(): void {
    void this.#stayConnected()
  }

  /** The connection while a server is reached. */
  get connection(): NatsConnection | undefined {
    return this.#isConnected ? this.#connection : undefined
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  async close(): Promise<void> {
    this.#isClosed = true
    const closing = this.#connection?.close().catch(() => undefined)
    await Promise.race([closing, pause(CLOSE_TIMEOUT_MS, undefined, { ref: false })])
  }

  async #stayConnected(): Promise<void> {
    while (!this.#isClosed) {
      try {
        const connection = await this.#connect()
        this.#connection = connection
        if (this.#isClosed) return await connection.close()
        this.#onConnected(connection.getServer())
        this.#followStatus(connection).catch(() => undefined)
        const error = await connection.closed()
        this.#onDisconnected(reasonOf(error))
      } catch (error) {
        this.#onDisconnected(reasonOf(error))
      }
      await pause(backOffMs(RECONNECT_BACK_OFF, 1, Math.random()), undefined, { ref: false })
    }
  }

  async #connect(): Promise<NatsConnection> {
    const { settings, credentials, clientName } = this.#parts
    const { servers, ca } = settings
    return await connect({
      servers: [...servers],
      name: clientName(),
      timeout: CONNECT_TIMEOUT_MS,
      noEcho: true,
      // Without a limit: a relay serves its own region without the directory.
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_MS,
      reconnectJitter: RECONNECT_MS,
      pingInterval: PING_EVERY_MS,
      maxPingOut: SILENT_PINGS_MAX,
      ...(credentials === undefined ? {} : { authenticator: credsAuthenticator(credentials) }),
      ...(ca === undefined ? {} : { tls: { ca } }),
    })
  }

  async #followStatus(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === 'reconnect') this.#onConnected(status.server)
      else if (status.type === 'disconnect') this.#onDisconnected(`lost the connection to ${status.server}`)
    }
  }

  #onConnected(server: string): void {
    this.#isConnected = true
    this.#parts.onConnected(server)
  }

  #onDisconnected(reason: string): void {
    this.#isConnected = false
    this.#parts.onDisconnected(reason)
  }
}

/**
 * Calls the library; undefined if it throws, which it does on a connection that has been closed for good. The loss is
 * reported a moment later.
 */
export function attempt<T>(call: () => T): T | undefined {
  try {
    return call()
  } catch {
    return undefined
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : 'the connection was closed'
}
