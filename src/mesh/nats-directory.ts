// The key directory over NATS: a relay subscribes to a subject for each of its home keys, and who looks for a key asks
// on that subject. That nobody is there is answered at once by the server; keys of a relay that dies are gone with its
// connection. Subjects hold keyed hashes, so that a server learns no node keys. Packets never come this way.
//
//   derpfleet.at.<hash>      request: who has this key?   answer: the relay's name
//   derpfleet.moved.<hash>   the relay that has it from now on, for whoever has asked for it before
//
// Contract: while NATS is away every question is answered "nowhere" at once, and what is announced is remembered; when
// it is back everything is announced again.

import { createHmac } from 'node:crypto'
import {
  connect,
  credsAuthenticator,
  type Msg,
  type NatsConnection,
  type Subscription,
} from '@nats-io/transport-node'
import { toHex } from '#protocol/bytes.ts'
import type { KeyDirectory } from './key-directory.ts'

/** The longest that a packet waits for an answer; a question round the globe takes half a second, and is asked again. */
const LOCATE_TIMEOUT_MS = 200
/** Questions under way at once; each holds a timer and a promise. */
const QUESTIONS_MAX = 2_000
/** After a break the server is told of this many keys in a turn, so that thousands of relays do not flood it. */
const ANNOUNCEMENTS_PER_TURN = 200
const ANNOUNCE_TURN_MS = 10
const RECONNECT_MS = 1_000
const HASH_BYTES = 16
/** A host name and a port. */
const NAME_BYTES_MAX = 260

export interface NatsSettings {
  /** `nats://host:port` or `tls://host:port`. */
  readonly servers: readonly string[]
  /** The text of a credentials file. */
  readonly credentials: string | undefined
  /** Authorities that the servers' certificates may be signed by, PEM; undefined: those that Node trusts. */
  readonly ca: string | undefined
  /** What keys are hashed with; the same for all relays of a fleet. */
  readonly secret: Uint8Array
}

export interface NatsDirectoryParts {
  readonly settings: NatsSettings
  /** This relay, as the others' members name it. */
  readonly name: string
  /** The connection is there, or is not any more. */
  readonly onConnected: (isConnected: boolean, detail: string) => void
}

export class NatsDirectory implements KeyDirectory {
  readonly #parts: NatsDirectoryParts
  /** Announced keys by hash; those without a subscription wait for their turn. */
  readonly #announced = new Map<string, Subscription | undefined>()
  #waiting: string[] = []
  #connection: NatsConnection | undefined = undefined
  #isConnected = false
  #isClosed = false
  #questions = 0
  #turn: NodeJS.Timeout | undefined = undefined

  /** Begins to connect, and goes on until it has. */
  constructor(parts: NatsDirectoryParts) {
    this.#parts = parts
    void this.#connect()
  }

  get isConnected(): boolean {
    return this.#isConnected
  }

  announce(key: Uint8Array): void {
    const hash = this.#hash(key)
    if (this.#announced.has(hash)) return
    this.#announced.set(hash, undefined)
    this.#waiting.push(hash)
    this.#announceSoon()
  }

  withdraw(key: Uint8Array): void {
    const hash = this.#hash(key)
    this.#announced.get(hash)?.unsubscribe()
    this.#announced.delete(hash)
  }

  locate(key: Uint8Array, found: (relay: string | undefined) => void): void {
    if (this.#connection === undefined || !this.#isConnected || this.#questions >= QUESTIONS_MAX) {
      found(undefined)
      return
    }
    this.#questions++
    const question = this.#connection.request(subjectAt(this.#hash(key)), undefined, {
      timeout: LOCATE_TIMEOUT_MS,
    })
    void question
      .then(nameIn, () => undefined)
      .then((name) => {
        this.#questions--
        found(name)
      })
  }

  watch(key: Uint8Array, moved: (relay: string) => void): () => void {
    const subscription = this.#connection?.subscribe(subjectMoved(this.#hash(key)), {
      callback: (_error, message) => {
        const name = nameIn(message)
        if (name !== undefined && name !== this.#parts.name) moved(name)
      },
    })
    return () => subscription?.unsubscribe()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#turn)
    await this.#connection?.close()
  }

  #hash(key: Uint8Array): string {
    const hash = createHmac('sha256', this.#parts.settings.secret).update(key).digest()
    return toHex(hash.subarray(0, HASH_BYTES))
  }

  async #connect(): Promise<void> {
    const { settings, name, onConnected } = this.#parts
    const { servers, credentials, ca } = settings
    try {
      const connection = await connect({
        servers: [...servers],
        name: `derpfleet ${name}`,
        noEcho: true,
        // For ever: a relay serves its own region without.
        waitOnFirstConnect: true,
        maxReconnectAttempts: -1,
        reconnectTimeWait: RECONNECT_MS,
        reconnectJitter: RECONNECT_MS,
        // A refused password may have been corrected on the server meanwhile.
        ignoreAuthErrorAbort: true,
        ...(credentials === undefined ? {} : { authenticator: credsAuthenticator(Buffer.from(credentials)) }),
        ...(ca === undefined ? {} : { tls: { ca } }),
      })
      if (this.#isClosed) return await connection.close()
      this.#connection = connection
      this.#onConnected(connection.getServer())
      void this.#hearStatus(connection)
    } catch (error) {
      onConnected(false, error instanceof Error ? error.message : String(error))
    }
  }

  async #hearStatus(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === 'reconnect') this.#onConnected(status.server)
      else if (status.type === 'disconnect') this.#onDisconnected(status.server)
    }
  }

  #onConnected(server: string): void {
    this.#isConnected = true
    this.#parts.onConnected(true, server)
    this.#announceSoon()
  }

  #onDisconnected(server: string): void {
    this.#isConnected = false
    this.#parts.onConnected(false, server)
  }

  #announceSoon(): void {
    if (!this.#isConnected || this.#waiting.length === 0) return
    this.#turn ??= setTimeout(() => this.#announceSome(), ANNOUNCE_TURN_MS)
  }

  #announceSome(): void {
    this.#turn = undefined
    if (this.#connection === undefined || !this.#isConnected) return
    const some = this.#waiting.splice(0, ANNOUNCEMENTS_PER_TURN)
    for (const hash of some) {
      // Withdrawn meanwhile, or announced again and so twice in the list.
      if (!this.#announced.has(hash) || this.#announced.get(hash) !== undefined) continue
      this.#announced.set(hash, this.#subscribe(this.#connection, hash))
      this.#connection.publish(subjectMoved(hash), this.#parts.name)
    }
    this.#announceSoon()
  }

  #subscribe(connection: NatsConnection, hash: string): Subscription {
    return connection.subscribe(subjectAt(hash), {
      callback: (error, message) => {
        if (error === null) message.respond(this.#parts.name)
      },
    })
  }
}

function subjectAt(hash: string): string {
  return `derpfleet.at.${hash}`
}

function subjectMoved(hash: string): string {
  return `derpfleet.moved.${hash}`
}

/** A relay's name; undefined for what can't be one. Whether there is such a relay is for the members to say. */
function nameIn(message: Msg): string | undefined {
  if (message.data.length > NAME_BYTES_MAX) return undefined
  const name = message.string()
  return /^[\w.:/[\]-]+$/.test(name) ? name : undefined
}
