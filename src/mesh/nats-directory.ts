// The key directory over NATS. A relay subscribes to one subject for each of its home keys, and a lookup is a request to
// that subject. If no relay has the key, the server says so at once; a dead relay's keys disappear with its connection.
// Subjects hold keyed hashes, so servers learn no node keys. Packets never pass through NATS. Runs on the control thread.
//
//   derpfleet.at.<hash>      request: which relay has this key?   answer: the relay's name
//   derpfleet.state          the states of relays (nats-states.ts)
//   derpfleet.moved.<hash>   the relay that has the key from now on, for relays that watch it; empty: one has withdrawn it
//
// Contract: without a connection every lookup is answered "unknown" at once, and announcements and watches are kept; when
// it is back they are all made again, in paced rounds.

import { createHmac } from 'node:crypto'
import { NoRespondersError, RequestError, type Msg } from '@nats-io/transport-node'
import { toHex } from '#protocol/bytes.ts'
import type { KeyDirectory, KeyLocation } from './key-directory.ts'
import { attempt, NatsConnector, type NatsServerSettings } from './nats-connector.ts'
import { openState, sealState, STATE_SUBJECT, type SealedState } from './nats-states.ts'
import { NatsSubscriptions, type Interest } from './nats-subscriptions.ts'

/** Packets wait no longer for an answer. A request round the globe takes half a second and is repeated. */
const LOCATE_TIMEOUT_MS = 200
/** Lookups under way; each holds a timer and a promise. */
const LOOKUPS_MAX = 2_000
/** Reasons reported for one outage: several servers fail in several ways, again and again. */
const REASONS_MAX = 4
const HASH_BYTES = 16
/** A host name and a port. */
const NAME_BYTES_MAX = 260

export interface NatsDirectorySettings extends NatsServerSettings {
  /** The secret of the key hashes; the same for all relays of a fleet. */
  readonly secret: Uint8Array
}

export interface NatsDirectoryParts {
  readonly settings: NatsDirectorySettings
  /** The credentials file, read again for each connection; undefined: the servers ask for none. */
  readonly credentials: (() => Uint8Array) | undefined
  /** The current name of this relay in the other relays' lists. */
  readonly name: () => string
  /** A relay tells its state; the arrays are borrowed. */
  readonly onState: (sealed: SealedState) => void
  /** Called when the connection is made or lost, with the server or the reason. */
  readonly onConnected: (isConnected: boolean, detail: string) => void
}

/** The directory's state, for operators. */
export interface DirectoryHealth {
  readonly isConnected: boolean
  /** The server, or why there is none. */
  readonly detail: string
  /** How often a server has been reached. */
  readonly connects: number
  /** Keys of this relay that are in the directory, or will be when a server is reached. */
  readonly announced: number
  /** Lookups by their answer. */
  readonly answers: Readonly<Record<KeyLocation['kind'], number>>
}

export class NatsDirectory implements KeyDirectory {
  readonly #parts: NatsDirectoryParts
  readonly #connector: NatsConnector
  readonly #subscriptions: NatsSubscriptions
  /** By the hash of the key. */
  readonly #announced = new Map<string, Interest>()
  /** Reasons reported for the present outage. */
  readonly #reasons = new Set<string>()
  #detail = 'not reached yet'
  #connects = 0
  readonly #answers = { at: 0, nowhere: 0, unknown: 0 }
  #lookups = 0

  /** Begins to connect. */
  constructor(parts: NatsDirectoryParts) {
    const { settings, credentials, name } = parts
    this.#parts = parts
    this.#connector = new NatsConnector({
      settings,
      credentials,
      clientName: () => `derpfleet ${name()}`,
      onConnected: (server) => this.#onConnected(server),
      onDisconnected: (reason) => this.#onDisconnected(reason),
    })
    this.#subscriptions = new NatsSubscriptions({
      connection: () => this.#connector.connection,
      announcement: name,
    })
    this.#subscriptions.add({
      subject: STATE_SUBJECT,
      onMessage: ({ data }) => this.#onState(data),
      announceOn: undefined,
    })
    this.#connector.start()
  }

  get isConnected(): boolean {
    return this.#connector.connection !== undefined
  }

  get health(): DirectoryHealth {
    return {
      isConnected: this.isConnected,
      detail: this.#detail,
      connects: this.#connects,
      announced: this.#announced.size,
      answers: { ...this.#answers },
    }
  }

  /** Tells the other relays the state of this one. Without a connection nobody hears it. */
  tellState(sealed: SealedState): void {
    const message = sealState(sealed, this.#parts.settings.secret)
    attempt(() => this.#connector.connection?.publish(STATE_SUBJECT, message))
  }

  /** The name of this relay has changed: announces its keys again. */
  renamed(): void {
    this.#subscriptions.announceAgain(this.#announced.values())
  }

  announce(key: Uint8Array): void {
    const hash = this.#hash(key)
    if (this.#announced.has(hash)) return
    const interest: Interest = {
      subject: subjectAt(hash),
      onMessage: (message) => attempt(() => message.respond(this.#parts.name())),
      announceOn: subjectMoved(hash),
    }
    this.#announced.set(hash, interest)
    this.#subscriptions.add(interest)
  }

  withdraw(key: Uint8Array): void {
    const hash = this.#hash(key)
    const interest = this.#announced.get(hash)
    if (interest === undefined) return
    this.#announced.delete(hash)
    if (this.#subscriptions.isActive(interest))
      attempt(() => this.#connector.connection?.publish(subjectMoved(hash)))
    this.#subscriptions.remove(interest)
  }

  locate(key: Uint8Array, found: (location: KeyLocation) => void): void {
    const answered = (location: KeyLocation): void => {
      this.#answers[location.kind]++
      found(location)
    }
    const { connection } = this.#connector
    if (connection === undefined || this.#lookups >= LOOKUPS_MAX) return answered({ kind: 'unknown' })
    const subject = subjectAt(this.#hash(key))
    const request = attempt(() => connection.request(subject, undefined, { timeout: LOCATE_TIMEOUT_MS }))
    if (request === undefined) return answered({ kind: 'unknown' })
    this.#lookups++
    void request.then(locationIn, locationAfter).then((location) => {
      this.#lookups--
      answered(location)
    })
  }

  watch(key: Uint8Array, moved: (relay: string | undefined) => void): () => void {
    const onMessage = (message: Msg): void => {
      if (message.data.length === 0) return moved(undefined)
      const name = nameIn(message)
      if (name !== undefined && name !== this.#parts.name()) moved(name)
    }
    const subject = subjectMoved(this.#hash(key))
    const interest: Interest = { subject, onMessage, announceOn: undefined }
    this.#subscriptions.add(interest)
    return () => this.#subscriptions.remove(interest)
  }

  async close(): Promise<void> {
    this.#subscriptions.close()
    await this.#connector.close()
  }

  #onState(message: Uint8Array): void {
    const sealed = openState(message, this.#parts.settings.secret)
    if (sealed !== undefined) this.#parts.onState(sealed)
  }

  #hash(key: Uint8Array): string {
    const hash = createHmac('sha256', this.#parts.settings.secret).update(key).digest()
    return toHex(hash.subarray(0, HASH_BYTES))
  }

  #onConnected(server: string): void {
    this.#connects++
    this.#detail = server
    this.#reasons.clear()
    this.#parts.onConnected(true, server)
    this.#subscriptions.connected()
  }

  #onDisconnected(reason: string): void {
    this.#detail = reason
    this.#subscriptions.disconnected()
    if (this.#connector.isClosed || this.#reasons.has(reason) || this.#reasons.size >= REASONS_MAX) return
    this.#reasons.add(reason)
    this.#parts.onConnected(false, reason)
  }
}

function subjectAt(hash: string): string {
  return `derpfleet.at.${hash}`
}

function subjectMoved(hash: string): string {
  return `derpfleet.moved.${hash}`
}

function locationIn(message: Msg): KeyLocation {
  const relay = nameIn(message)
  return relay === undefined ? { kind: 'nowhere' } : { kind: 'at', relay }
}

/** Only the server can say that no relay has the key; a request without an answer says nothing. */
function locationAfter(error: unknown): KeyLocation {
  const isNowhere =
    error instanceof NoRespondersError || (error instanceof RequestError && error.isNoResponders())
  return { kind: isNowhere ? 'nowhere' : 'unknown' }
}

/** A relay's name; undefined for what can't be one. Whether there is such a relay is decided by the list of siblings. */
function nameIn(message: Msg): string | undefined {
  if (message.data.length > NAME_BYTES_MAX) return undefined
  const name = message.string()
  return /^[\w.:/[\]-]+$/.test(name) ? name : undefined
}
