// The subjects that this relay subscribes to, restored whenever a server is reached. Works in paced rounds, so that
// relays that reconnect together do not flood the server. Does not connect. Runs on the control thread.

import type { Msg, NatsConnection, Subscription } from '@nats-io/transport-node'
import { attempt } from './nats-connector.ts'

/** Subjects in one round, and the time between rounds. */
const SUBJECTS_PER_ROUND = 200
const ROUND_MS = 10

/** A subject to listen to whenever a server is reached. */
export interface Interest {
  readonly subject: string
  readonly onMessage: (message: Msg) => void
  /** The subject on which the subscription is announced to other relays; undefined: it is not. */
  readonly announceOn: string | undefined
}

export interface NatsSubscriptionsParts {
  /** The connection while a server is reached. */
  readonly connection: () => NatsConnection | undefined
  /** The text of announcements. */
  readonly announcement: () => string
}

export class NatsSubscriptions {
  readonly #parts: NatsSubscriptionsParts
  readonly #active = new Map<Interest, Subscription>()
  /** Waiting for their round. */
  readonly #pending = new Set<Interest>()
  #round: NodeJS.Timeout | undefined = undefined

  constructor(parts: NatsSubscriptionsParts) {
    this.#parts = parts
  }

  isActive(interest: Interest): boolean {
    return this.#active.has(interest)
  }

  add(interest: Interest): void {
    this.#pending.add(interest)
    this.#schedule()
  }

  remove(interest: Interest): void {
    this.#pending.delete(interest)
    const subscription = this.#active.get(interest)
    this.#active.delete(interest)
    if (subscription !== undefined) attempt(() => subscription.unsubscribe())
  }

  /** Repeats the announcements of those that are active. */
  announceAgain(interests: Iterable<Interest>): void {
    for (const interest of interests) if (this.#active.has(interest)) this.#pending.add(interest)
    this.#schedule()
  }

  connected(): void {
    this.#schedule()
  }

  /** Unsubscribes, or else the library would send all subscriptions to the next server at once. */
  disconnected(): void {
    for (const [interest, subscription] of this.#active) {
      attempt(() => subscription.unsubscribe())
      this.#pending.add(interest)
    }
    this.#active.clear()
  }

  close(): void {
    clearTimeout(this.#round)
  }

  #schedule(): void {
    if (this.#parts.connection() === undefined || this.#pending.size === 0) return
    this.#round ??= setTimeout(() => this.#runRound(), ROUND_MS)
  }

  #runRound(): void {
    this.#round = undefined
    const connection = this.#parts.connection()
    if (connection === undefined) return
    let left = SUBJECTS_PER_ROUND
    for (const interest of this.#pending) {
      if (left-- === 0) break
      if (!this.#activate(connection, interest)) break
      this.#pending.delete(interest)
    }
    this.#schedule()
  }

  /** Returns false if the connection has just been closed; the interest stays pending. */
  #activate(connection: NatsConnection, interest: Interest): boolean {
    const isDone = attempt(() => {
      const subscription =
        this.#active.get(interest) ??
        connection.subscribe(interest.subject, {
          callback: (error, message) => {
            if (error === null) interest.onMessage(message)
          },
        })
      this.#active.set(interest, subscription)
      if (interest.announceOn !== undefined)
        connection.publish(interest.announceOn, this.#parts.announcement())
      return true
    })
    return isDone === true
  }
}
