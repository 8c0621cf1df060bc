// The key directory over NATS: a relay subscribes to a subject for each of its home keys, and who looks for a key asks
// on that subject. That nobody is there is answered at once by the server; keys of a relay that dies are gone with its
// connection. Subjects hold keyed hashes, so that a server learns no node keys. Packets never come this way.
//
//   derpfleet.at.<hash>      request: who has this key?   answer: the relay's name
//   derpfleet.moved.<hash>   the relay that has it from now on, for whoever has asked for it before; empty: one has it no more
//
// Contract: while NATS is away every question is answered "unknown" at once, and what is announced or watched is
// remembered; when it is back everything is announced again, a little at a time. Nothing that the connection does or
// suffers ends the process: a call on one that has just been closed is as if it had been lost before.

import { createHmac } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import {
  connect,
  credsAuthenticator,
  NoRespondersError,
  RequestError,
  type Msg,
  type NatsConnection,
  type Subscription,
} from '@nats-io/transport-node'
import { backOffMs, type BackOff } from '#protocol/back-off.ts'
import { toHex } from '#protocol/bytes.ts'
import type { KeyDirectory, KeyLocation } from './key-directory.ts'

/** The longest that a packet waits for an answer; a question round the globe takes half a second, and is asked again. */
const LOCATE_TIMEOUT_MS = 200
/** Questions under way at once; each holds a timer and a promise. */
const QUESTIONS_MAX = 2_000
/** A server is told of this many keys in a turn, so that those that come back together do not flood it. */
const TOLD_PER_TURN = 200
const TELL_TURN_MS = 10
/** And so often one that it has is asked whether it is there; silent twice, it is not. */
const PING_EVERY_MS = 5_000
const SILENT_PINGS_MAX = 2
const RECONNECT_MS = 1_000
const RECONNECT_BACK_OFF: BackOff = {
  firstMs: RECONNECT_MS,
  growth: 'constant',
  maxMs: RECONNECT_MS,
  jitter: { from: 1, to: 2 },
}
/** A server that takes the connection and says nothing. */
const CONNECT_TIMEOUT_MS = 5_000
const CLOSE_TIMEOUT_MS = 1_000
/** Reasons that are told of one outage: several servers fail in several ways, again and again. */
const REASONS_MAX = 4
const HASH_BYTES = 16
/** A host name and a port. */
const NAME_BYTES_MAX = 260

export interface NatsSettings {
  /** `nats://host:port` or `tls://host:port`. */
  readonly servers: readonly string[]
  /** Authorities that the servers' certificates may be signed by, PEM; undefined: those that Node trusts. */
  readonly ca: string | undefined
  /** What keys are hashed with; the same for all relays of a fleet. */
  readonly secret: Uint8Array
}

export interface NatsDirectoryParts {
  readonly settings: NatsSettings
  /** A credentials file, as it is when a server asks for it; undefined: servers let anybody in. */
  readonly credentials: (() => Uint8Array) | undefined
  /** This relay, as the others' members name it at this moment. */
  readonly name: () => string
  /** The connection is there, or is not any more. */
  readonly onConnected: (isConnected: boolean, detail: string) => void
}

/** How the directory does, for operators. */
export interface DirectoryHealth {
  readonly isConnected: boolean
  /** The server, or why there is none. */
  readonly detail: string
  /** Times that a server was reached. */
  readonly connects: number
  /** Keys of this relay that are in the directory, or will be as soon as a server is there. */
  readonly announced: number
  /** Questions by their answers. */
  readonly answers: Readonly<Record<KeyLocation['kind'], number>>
}

/** A subject that is listened to whenever a server is there. */
interface Interest {
  readonly subject: string
  readonly onMessage: (message: Msg) => void
  /** For a key that is here: the subject on which that is said. */
  readonly moved: string | undefined
}

export class NatsDirectory implements KeyDirectory {
  readonly #parts: NatsDirectoryParts
  readonly #announced = new Map<string, Interest>()
  /** The server has been told of these. */
  readonly #told = new Map<Interest, Subscription>()
  /** These wait for their turn. */
  readonly #untold = new Set<Interest>()
  #connection: NatsConnection | undefined = undefined
  #isConnected = false
  #isClosed = false
  /** Why there is no connection, as far as that was said. */
  readonly #reasons = new Set<string>()
  #detail = 'not reached yet'
  #connects = 0
  readonly #answers = { at: 0, nowhere: 0, unknown: 0 }
  #questions = 0
  #turn: NodeJS.Timeout | undefined = undefined

  /** Begins to connect, and goes on until it has. */
  constructor(parts: NatsDirectoryParts) {
    this.#parts = parts
    void this.#stayConnected()
  }

  get isConnected(): boolean {
    return this.#isConnected
  }

  get health(): DirectoryHealth {
    return {
      isConnected: this.#isConnected,
      detail: this.#detail,
      connects: this.#connects,
      announced: this.#announced.size,
      answers: { ...this.#answers },
    }
  }

  /** This relay is called otherwise from now on: whoever has asked for its keys is told so. */
  renamed(): void {
    for (const interest of this.#announced.values()) {
      if (this.#told.has(interest)) this.#untold.add(interest)
    }
    this.#tellSoon()
  }

  announce(key: Uint8Array): void {
    const hash = this.#hash(key)
    if (this.#announced.has(hash)) return
    const interest: Interest = {
      subject: subjectAt(hash),
      onMessage: (message) => this.#attempt(() => message.respond(this.#parts.name())),
      moved: subjectMoved(hash),
    }
    this.#announced.set(hash, interest)
    this.#listen(interest)
  }

  withdraw(key: Uint8Array): void {
    const hash = this.#hash(key)
    const interest = this.#announced.get(hash)
    if (interest === undefined) return
    this.#announced.delete(hash)
    if (this.#told.has(interest)) this.#attempt(() => this.#connection?.publish(subjectMoved(hash)))
    this.#ignore(interest)
  }

  locate(key: Uint8Array, found: (where: KeyLocation) => void): void {
    const answered = (where: KeyLocation): void => {
      this.#answers[where.kind]++
      found(where)
    }
    const connection = this.#isConnected ? this.#connection : undefined
    if (connection === undefined || this.#questions >= QUESTIONS_MAX) return answered({ kind: 'unknown' })
    const subject = subjectAt(this.#hash(key))
    const question = this.#attempt(() =>
      connection.request(subject, undefined, { timeout: LOCATE_TIMEOUT_MS }),
    )
    if (question === undefined) return answered({ kind: 'unknown' })
    this.#questions++
    void question.then(whereIn, whyNot).then((where) => {
      this.#questions--
      answered(where)
    })
  }

  watch(key: Uint8Array, moved: (relay: string | undefined) => void): () => void {
    const onMessage = (message: Msg): void => {
      if (message.data.length === 0) return moved(undefined)
      const name = nameIn(message)
      if (name !== undefined && name !== this.#parts.name()) moved(name)
    }
    const subject = subjectMoved(this.#hash(key))
    const interest: Interest = { subject, onMessage, moved: undefined }
    this.#listen(interest)
    return () => this.#ignore(interest)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#turn)
    const closing = this.#connection?.close().catch(() => undefined)
    await Promise.race([closing, pause(CLOSE_TIMEOUT_MS, undefined, { ref: false })])
  }

  #hash(key: Uint8Array): string {
    const hash = createHmac('sha256', this.#parts.settings.secret).update(key).digest()
    return toHex(hash.subarray(0, HASH_BYTES))
  }

  /** The library comes back from breaks by itself; from what it takes for final, and to a first server, it does not. */
  async #stayConnected(): Promise<void> {
    while (!this.#isClosed) {
      try {
        const connection = await this.#connect()
        this.#connection = connection
        if (this.#isClosed) return await connection.close()
        this.#onConnected(connection.getServer())
        this.#hearStatus(connection).catch(() => undefined)
        const error = await connection.closed()
        this.#onDisconnected(reasonOf(error))
      } catch (error) {
        this.#onDisconnected(reasonOf(error))
      }
      await pause(backOffMs(RECONNECT_BACK_OFF, 1, Math.random()), undefined, { ref: false })
    }
  }

  async #connect(): Promise<NatsConnection> {
    const { settings, credentials, name } = this.#parts
    const { servers, ca } = settings
    return await connect({
      servers: [...servers],
      name: `derpfleet ${name()}`,
      timeout: CONNECT_TIMEOUT_MS,
      noEcho: true,
      // For ever: a relay serves its own region without.
      maxReconnectAttempts: -1,
      reconnectTimeWait: RECONNECT_MS,
      reconnectJitter: RECONNECT_MS,
      pingInterval: PING_EVERY_MS,
      maxPingOut: SILENT_PINGS_MAX,
      ...(credentials === undefined ? {} : { authenticator: credsAuthenticator(credentials) }),
      ...(ca === undefined ? {} : { tls: { ca } }),
    })
  }

  async #hearStatus(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === 'reconnect') this.#onConnected(status.server)
      else if (status.type === 'disconnect') this.#onDisconnected(`${status.server} has gone`)
    }
  }

  #onConnected(server: string): void {
    this.#isConnected = true
    this.#connects++
    this.#detail = server
    this.#reasons.clear()
    this.#parts.onConnected(true, server)
    this.#tellSoon()
  }

  #onDisconnected(reason: string): void {
    this.#isConnected = false
    this.#detail = reason
    // Else the library would tell the next server of all of them in one go.
    for (const [interest, subscription] of this.#told) {
      this.#attempt(() => subscription.unsubscribe())
      this.#untold.add(interest)
    }
    this.#told.clear()
    if (this.#isClosed || this.#reasons.has(reason) || this.#reasons.size >= REASONS_MAX) return
    this.#reasons.add(reason)
    this.#parts.onConnected(false, reason)
  }

  /** The library throws where its connection has been closed for good, of which we hear a moment later. */
  #attempt<T>(call: () => T): T | undefined {
    try {
      return call()
    } catch {
      return undefined
    }
  }

  #listen(interest: Interest): void {
    this.#untold.add(interest)
    this.#tellSoon()
  }

  #ignore(interest: Interest): void {
    this.#untold.delete(interest)
    const subscription = this.#told.get(interest)
    this.#told.delete(interest)
    if (subscription !== undefined) this.#attempt(() => subscription.unsubscribe())
  }

  #tellSoon(): void {
    if (!this.#isConnected || this.#untold.size === 0) return
    this.#turn ??= setTimeout(() => this.#tellSome(), TELL_TURN_MS)
  }

  #tellSome(): void {
    this.#turn = undefined
    const connection = this.#connection
    if (connection === undefined || !this.#isConnected) return
    let left = TOLD_PER_TURN
    for (const interest of this.#untold) {
      if (left-- === 0) break
      if (!this.#tell(connection, interest)) break
      this.#untold.delete(interest)
    }
    this.#tellSoon()
  }

  /** False: the connection is none any more; it is told when there is another. */
  #tell(connection: NatsConnection, interest: Interest): boolean {
    const told = this.#attempt(() => {
      const subscription =
        this.#told.get(interest) ??
        connection.subscribe(interest.subject, {
          callback: (error, message) => {
            if (error === null) interest.onMessage(message)
          },
        })
      this.#told.set(interest, subscription)
      if (interest.moved !== undefined) connection.publish(interest.moved, this.#parts.name())
      return true
    })
    return told === true
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : 'it was closed'
}

function subjectAt(hash: string): string {
  return `derpfleet.at.${hash}`
}

function subjectMoved(hash: string): string {
  return `derpfleet.moved.${hash}`
}

function whereIn(message: Msg): KeyLocation {
  const relay = nameIn(message)
  return relay === undefined ? { kind: 'nowhere' } : { kind: 'at', relay }
}

/** That nobody is there is said by the server; that nobody has answered says nothing. */
function whyNot(error: unknown): KeyLocation {
  const isNobody =
    error instanceof NoRespondersError || (error instanceof RequestError && error.isNoResponders())
  return { kind: isNobody ? 'nowhere' : 'unknown' }
}

/** A relay's name; undefined for what can't be one. Whether there is such a relay is for the members to say. */
function nameIn(message: Msg): string | undefined {
  if (message.data.length > NAME_BYTES_MAX) return undefined
  const name = message.string()
  return /^[\w.:/[\]-]+$/.test(name) ? name : undefined
}
