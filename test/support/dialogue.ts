// Dialogues with a relay and their transcripts. A script is a function that connects clients, sends bytes, and waits
// for what the relay sends; it has no expectations of its own. The same script runs against several relays, and the
// tests compare the transcripts.

import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { webSocketRequest } from '#client/http-answer.ts'
import { toHex } from '#protocol/bytes.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import { type KeyPair, keyPairFrom } from '#protocol/node-key.ts'
import { DERP_PATH, upgradeRequest } from '#protocol/upgrade.ts'
import { meshKey, server } from '../vectors/keys.ts'
import { webSocketHandshake } from '../vectors/login.ts'
import { Actor } from './actor.ts'
import { clientInfo } from './raw-frames.ts'
import { RELAY_HOST, type RelayUnderTest } from './relay-under-test.ts'
import { ScriptedClient, type Dial, type Transcript } from './scripted-client.ts'

/** How long to wait for expected items, and how long nothing may be received before a wait ends. */
export interface WaitTimes {
  readonly responseMs: number
  readonly quietMs: number
}

export type Script = (dialogue: Dialogue) => Promise<void>
/** Scripts by title. */
export type Scripts = Readonly<Record<string, Script>>

/** All kinds of client connections: TLS or plain TCP, and the request that opens the DERP stream. */
export const connectionKinds = {
  'fast start over TLS 1.3': { tls: {}, request: 'fast-start' },
  '101 over TLS 1.3': { tls: {}, request: 'upgrade' },
  '101 over TLS 1.2': { tls: { maxVersion: 'TLSv1.2' }, request: 'upgrade' },
  '101 over plain TCP': { tls: false, request: 'upgrade' },
  'fast start over plain TCP': { tls: false, request: 'fast-start' },
  'WebSocket over TLS': { tls: {}, request: 'websocket' },
  'WebSocket over plain TCP': { tls: false, request: 'websocket' },
} as const satisfies Record<
  string,
  { readonly tls: Dial['tls']; readonly request: 'fast-start' | 'upgrade' | 'websocket' }
>
export type ConnectionKind = keyof typeof connectionKinds

export interface LoginOptions {
  readonly kind?: ConnectionKind
  /** The text of ClientInfo. */
  readonly info?: string
  readonly actor?: Actor
  readonly localAddress?: string
  /** Frames that are sent in the same write as the login. */
  readonly following?: readonly Uint8Array[]
  /**
   * Items received because of the login, besides ServerKey and ServerInfo: presence at watchers, responses to the
   * following frames.
   */
  readonly moreItems?: number
}

/** ClientInfo of a mesh peer of the relays under test. */
export const meshInfo = `{"meshKey":"${toHex(meshKey)}","version":2,"CanAckPings":false}`

/** The limit for relays that wait before they respond: derper waits for at most 10 s. */
const LONG_MS = 15_000
/** The limit for the end: derper's WebSockets wait 5 s for an answer to their close, and 15 s for their own routines. */
const END_MS = 30_000

/** Runs a script against a relay and returns the transcript. */
export async function runDialogue(
  script: Script,
  relay: RelayUnderTest,
  times: WaitTimes,
): Promise<string[]> {
  const dialogue = new Dialogue(relay, times)
  try {
    await script(dialogue)
    await dialogue.finish()
    return dialogue.lines
  } finally {
    dialogue.destroyClients()
  }
}

export class Dialogue implements Transcript {
  readonly relay: RelayUnderTest
  readonly lines: string[] = []
  readonly #times: WaitTimes
  readonly #clients: ScriptedClient[] = []
  readonly #actors = new Map<string, Actor>()
  readonly #names = new Map([[toHex(server.publicKey), 'server']])
  readonly #nonces = new Set<string>()
  #receivedAtMs = 0
  #received = Promise.withResolvers<void>()

  constructor(relay: RelayUnderTest, times: WaitTimes) {
    this.relay = relay
    this.#times = times
  }

  /** The actor of that name. Its key differs from dialogue to dialogue, so that several can run at the same time. */
  actor(name: string): Actor {
    return this.#actors.get(name) ?? this.actorWithKey(name, keyPairFrom(randomBytes(KEY_BYTES)))
  }

  /** An actor with a given key. */
  actorWithKey(name: string, pair: KeyPair): Actor {
    const actor = new Actor(name, pair)
    this.#actors.set(name, actor)
    this.#names.set(toHex(actor.key), name)
    return actor
  }

  /** A connection that is open; nothing is sent. */
  async dial(
    name: string,
    dial: Partial<Dial> = {},
    actor: Actor = this.actor(name),
  ): Promise<ScriptedClient> {
    const { tls = {} } = dial
    const port = tls === false ? this.relay.plainPort : this.relay.tlsPort
    const client = new ScriptedClient(name, actor, { port, ...dial, tls }, this)
    this.#clients.push(client)
    await client.open()
    return client
  }

  /** A connection with an open DERP stream, up to ServerKey; the client has not logged in. */
  async openStream(name: string, options: LoginOptions = {}): Promise<ScriptedClient> {
    const client = await this.#dialKind(name, options)
    const { request } = connectionKinds[options.kind ?? 'fast start over TLS 1.3']
    if (request === 'fast-start') client.expectFrames()
    client.request(requests[request])
    await this.settle(request === 'fast-start' ? 1 : 2)
    return client
  }

  /** A client that has logged in. With fast start, request and login are one write, as with Tailscale's clients. */
  async logIn(name: string, options: LoginOptions = {}): Promise<ScriptedClient> {
    const { moreItems = 0 } = options
    const { request } = connectionKinds[options.kind ?? 'fast start over TLS 1.3']
    if (request === 'fast-start') {
      const client = await this.#dialKind(name, options)
      client.expectFrames()
      client.request(requests[request], clientInfo(client.actor, options.info), ...(options.following ?? []))
      await this.settle(2 + moreItems)
      return client
    }
    const client = await this.openStream(name, options)
    client.logIn(options.info, ...(options.following ?? []))
    await this.settle(1 + moreItems)
    return client
  }

  async request(name: string, text: string, dial: Partial<Dial> = {}): Promise<ScriptedClient> {
    const client = await this.dial(name, dial)
    client.request(text)
    await this.settle(1)
    return client
  }

  /**
   * Waits until all clients together have received `expectedCount` items, and then until nothing is received any more.
   * Adds the items to the transcript, client by client.
   */
  async settle(
    expectedCount: number,
    order: 'ordered' | 'unordered' = 'ordered',
    limit: 'soon' | 'up to 15 s' = 'soon',
  ): Promise<void> {
    const { responseMs, quietMs } = this.#times
    const isThere = (): boolean => this.#itemCount >= expectedCount
    await this.#waitUntil(isThere, limit === 'soon' ? responseMs : LONG_MS)
    this.#receivedAtMs = performance.now()
    for (let left = quietMs; left > 0; left = this.#receivedAtMs + quietMs - performance.now())
      await sleep(left)
    const isTimedOut = !isThere()
    for (const client of this.#clients) {
      const items = client.take().map((lines) => lines.map((line) => `${client.name} < ${line}`))
      const sorted = order === 'ordered' ? items : items.toSorted((a, b) => (a.join() < b.join() ? -1 : 1))
      this.lines.push(...sorted.flat())
    }
    if (isTimedOut)
      this.write(`(timed out waiting for ${expectedCount} ${expectedCount === 1 ? 'item' : 'items'})`)
  }

  /** Waits for the end of a client's connection first: derper may take seconds between its last frame and the end. */
  async settleEnd(client: ScriptedClient): Promise<void> {
    await this.#waitUntil(() => client.isOver, END_MS)
    await this.settle(1)
  }

  async #waitUntil(isThere: () => boolean, limitMs: number): Promise<void> {
    const expired = Promise.withResolvers<void>()
    let isExpired = false
    const timer = setTimeout(() => {
      isExpired = true
      expired.resolve()
    }, limitMs)
    while (!isThere() && !isExpired) await Promise.race([this.#received.promise, expired.promise])
    clearTimeout(timer)
  }

  /** Like `settle`, but adds repeated items once: their number is not specified. */
  async settleRepeats(): Promise<void> {
    const start = this.lines.length
    await this.settle(1)
    const received = this.lines.splice(start)
    this.lines.push(...new Set(received.map((line) => `${line} (at least once)`)))
  }

  /** Disconnects a client and gives the relay time to notice. The caller waits for the consequences. */
  async disconnect(client: ScriptedClient): Promise<void> {
    await client.disconnect()
    // The relay may close its side before it has processed the disconnection.
    await sleep(this.#times.quietMs)
  }

  /** Waits for a time that matters to the relay. */
  async pause(ms: number): Promise<void> {
    await this.settle(0)
    await sleep(ms)
  }

  /** Adds the last items and the bytes of incomplete items. */
  async finish(): Promise<void> {
    await this.settle(0)
    for (const client of this.#clients) this.lines.push(...client.unfinished())
  }

  get #itemCount(): number {
    return this.#clients.reduce((sum, client) => sum + client.itemCount, 0)
  }

  write(line: string): void {
    this.lines.push(line)
  }

  nameOf(key: Uint8Array): string {
    return this.#names.get(toHex(key)) ?? ''
  }

  onReceived(): void {
    this.#receivedAtMs = performance.now()
    this.#received.resolve()
    this.#received = Promise.withResolvers<void>()
  }

  isFresh(nonce: Uint8Array): boolean {
    const count = this.#nonces.size
    return this.#nonces.add(toHex(nonce)).size > count
  }

  destroyClients(): void {
    for (const client of this.#clients) client.destroy()
  }

  async #dialKind(name: string, options: LoginOptions): Promise<ScriptedClient> {
    const { kind = 'fast start over TLS 1.3', actor, localAddress } = options
    return await this.dial(name, { tls: connectionKinds[kind].tls, localAddress }, actor)
  }
}

/** The requests that open the DERP stream. */
export const requests = {
  'fast-start': textOf(upgradeRequest(RELAY_HOST, { isFastStart: true })),
  upgrade: textOf(upgradeRequest(RELAY_HOST, { isFastStart: false })),
  websocket: textOf(webSocketRequest(RELAY_HOST, DERP_PATH, webSocketHandshake.key)),
} as const

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}
