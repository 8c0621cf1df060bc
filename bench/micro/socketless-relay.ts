// One relay thread without sockets; its clients' links take everything at once. Measures what a relay costs without its
// transport. Logins are real handshakes. Not the relay of the tests, whose links check and copy every byte.

import { clientInfoFrame } from '#protocol/handshake.ts'
import { Counters } from '#relay/counters.ts'
import { EndReason } from '#relay/end-reason.ts'
import { NO_ROUTES, type LinkListener, type OtherThreads } from '#relay/ports.ts'
import { Relay } from '#relay/relay.ts'
import { SingleThread } from '#relay/single-thread.ts'
import { server, type Actor } from '../../test/support/actor.ts'
import { freshNonce } from '../../test/support/memory-client.ts'
import { admitAll, defaultLimits } from '../../test/support/test-relay.ts'
import { TakingLink } from './taking-link.ts'

const RANDOM = new Uint8Array(64).fill(9)

/** A client that has logged in. */
export interface Client {
  readonly actor: Actor
  readonly link: TakingLink
  readonly listener: LinkListener
}

export class SocketlessRelay {
  readonly counters = new Counters()
  readonly #relay: Relay
  readonly #links = new Set<TakingLink>()
  #nextTurn: (() => void)[] = []

  /** @param threads the other threads of this relay; none unless they are given */
  constructor(threads: OtherThreads = new SingleThread()) {
    this.#relay = new Relay({
      nodeKey: { privateKey: server.privateKey, publicKey: server.key },
      meshKeys: [],
      disallowedAppNames: [],
      kicksFrom: [],
      limits: defaultLimits,
      counters: this.counters,
      admission: admitAll,
      observer: {
        sessionStarted: () => undefined,
        sessionEnded: () => undefined,
        addressBanned: () => undefined,
        roundTripRead: () => undefined,
        homeChanged: () => undefined,
        relayState: () => undefined,
      },
      now: () => performance.now(),
      random: (bytes) => RANDOM.subarray(0, bytes),
      later: (delayMs, callback) => {
        if (delayMs === 0) this.#nextTurn.push(callback)
      },
      flushLater: () => undefined,
      routes: NO_ROUTES,
      threads,
    })
  }

  join(who: Actor): Client {
    return this.logIn(who, clientInfoOf(who))
  }

  /** @param clientInfo this actor's ClientInfo frame */
  logIn(who: Actor, clientInfo: Buffer): Client {
    const link = new TakingLink()
    const listener = this.#relay.accept({ link, wantsAnswer: false, idealNode: '' })
    link.listener = listener
    this.#links.add(link)
    listener.receive(clientInfo, 0, clientInfo.length)
    this.#relay.flushQueue.flush()
    link.take()
    for (const callback of this.#nextTurn.splice(0)) callback()
    return { actor: who, link, listener }
  }

  /** The client hangs up. */
  leave({ link, listener }: Client): void {
    this.#links.delete(link)
    listener.closed(EndReason.remoteClosed)
  }

  /** The end of a turn of the loop: everything is written, and taken. */
  endTurn(): void {
    this.#relay.flushQueue.flush()
    for (const link of this.#links) link.take()
  }
}

/** The ClientInfo frame of a login. */
export function clientInfoOf(who: Actor): Buffer {
  return Buffer.from(clientInfoFrame(who.key, {}, who.boxWithServer, freshNonce()))
}
