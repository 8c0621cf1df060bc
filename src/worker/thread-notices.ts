// What a relay thread tells the control thread for the log: logins, ends of sessions, changed homes, banned
// addresses, warnings of the runtime. At most a hundred a second of each sort, so that a storm of logins does not become a storm of messages. Metrics
// count all of them. Runs on a relay thread.

import type { RemoteAddress, SessionEnd, SessionStart } from '#relay/ports.ts'
import { TokenBucket } from '#protocol/token-bucket.ts'
import { now } from './clock.ts'
import type { AddressBan, FromRelayThread } from './thread-messages.ts'

const NOTICES_PER_SECOND = 100

export class ThreadNotices {
  readonly #send: (message: FromRelayThread) => void
  /** For logins and homes. */
  readonly #starts = new TokenBucket(NOTICES_PER_SECOND, NOTICES_PER_SECOND, now())
  /** For ends of sessions and warnings. */
  readonly #others = new TokenBucket(NOTICES_PER_SECOND, NOTICES_PER_SECOND, now())

  constructor(send: (message: FromRelayThread) => void) {
    this.#send = send
  }

  sessionStarted({ key, remote, way, kind, appName }: SessionStart): void {
    if (!this.#starts.tryTake(1, now())) return
    const app = appName === '' ? undefined : appName
    const notice = { key: key.slice(), remote: copied(remote), way, kind, app }
    this.#send({ kind: 'sessionStarted', notice })
  }

  homeChanged(key: Uint8Array, home: boolean): void {
    if (!this.#starts.tryTake(1, now())) return
    this.#send({ kind: 'homeChanged', notice: { key: key.slice(), home } })
  }

  sessionEnded(event: SessionEnd): void {
    if (!this.#others.tryTake(1, now())) return
    const notice = { ...event, remote: copied(event.remote), key: event.key?.slice() }
    this.#send({ kind: 'sessionEnded', notice })
  }

  /** Beyond the bound the other threads are not told: each finds out by itself. */
  addressBanned({ ip, ...ban }: AddressBan): void {
    if (this.#others.tryTake(1, now())) this.#send({ kind: 'addressBanned', ip: ip.slice(), ...ban })
  }

  runtimeWarning({ name, message }: Error): void {
    if (this.#others.tryTake(1, now())) this.#send({ kind: 'runtimeWarning', name, text: message })
  }
}

/** A message would carry the whole buffer of which the address is a part. */
function copied({ ip, port }: RemoteAddress): RemoteAddress {
  return { ip: ip.slice(), port }
}
