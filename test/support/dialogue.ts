// A stage for scripted dialogues with relays as separate programs: starts a relay (derper, derpfleet) with the keys
// of the vectors, brings players on, and keeps the transcript. A scene is a function that plays the same on every
// relay; what it expects is nowhere written: the transcripts are compared.

import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { webSocketRequest } from '#client/http-answer.ts'
import { toHex } from '#protocol/bytes.ts'
import { KEY_BYTES } from '#protocol/limits.ts'
import { type KeyPair, keyPairFrom } from '#protocol/node-key.ts'
import { DERP_PATH, upgradeRequest } from '#protocol/upgrade.ts'
import { meshKey, server, serverKeyFile } from '../vectors/keys.ts'
import { webSocketHandshake } from '../vectors/login.ts'
import { Actor } from './actor.ts'
import { makeCertificate } from './certificate.ts'
import { clientInfo, Player, type Dial, type Script } from './scripted-client.ts'
import { freeTcpPort, type RunningProcess, startProcess } from './process.ts'

/** A program that relays, and what goes before derper's flags. */
export interface Program {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
}

/** The same relay twice: with TLS and without. */
export interface RelayUnderTest extends AsyncDisposable {
  readonly name: string
  readonly tlsPort: number
  readonly redirectServer: number
}

/** How long to wait for what should come, and then for what should not. */
export interface Patience {
  readonly answerMs: number
  readonly quietMs: number
}

export type Scene = (stage: Stage) => Promise<void>
export type Scenes = Readonly<Record<string, Scene>>

/** Every way into a relay: the letter of the specification, TLS or not, and what is asked for. */
export const ways = {
  'fast start over TLS 1.3': { tls: {}, asks: 'fast-start' },
  '101 over TLS 1.3': { tls: {}, asks: 'upgrade' },
  '101 over TLS 1.2': { tls: { maxVersion: 'TLSv1.2' }, asks: 'upgrade' },
  '101 over plain TCP': { tls: false, asks: 'upgrade' },
  'fast start over plain TCP': { tls: false, asks: 'fast-start' },
  'WebSocket over TLS': { tls: {}, asks: 'websocket' },
  'WebSocket over plain TCP': { tls: false, asks: 'websocket' },
} as const satisfies Record<
  string,
  { readonly tls: Dial['tls']; readonly asks: 'fast-start' | 'upgrade' | 'websocket' }
>
export type Way = keyof typeof ways

export interface JoinOptions {
  readonly way?: Way
  /** The text of ClientInfo. */
  readonly info?: string
  readonly actor?: Actor
  readonly localAddress?: string
  /** Sent in the write that logs in. */
  readonly behind?: readonly Uint8Array[]
  /** Things that come of the login besides the greeting: the news to watchers, answers to what is sent behind it. */
  readonly more?: number
}

/** ClientInfo of one who holds the mesh key of the relays under test. */
export const meshInfo = `{"meshKey":"${toHex(meshKey)}","version":2,"CanAckPings":false}`

const host = 'localhost'

/** Starts a program as a relay under test. */
export async function startRelayUnderTest(program: Program): Promise<RelayUnderTest> {
  const folder = await mkdtemp(join(tmpdir(), 'dialogue-'))
  await makeCertificate(folder, host)
  await writeFile(join(folder, 'key.json'), serverKeyFile)
  await writeFile(join(folder, 'psk'), toHex(meshKey))
  const running: RunningProcess[] = []
  const start = async (...more: string[]): Promise<number> => {
    const port = await freeTcpPort()
    const files = ['-c', join(folder, 'key.json'), '-mesh-psk-file', join(folder, 'psk'), '-hostname', host]
    const listen = ['-a', `127.0.0.1:${port}`, '-http-port', '-1', '-stun=false', ...more]
    const args = [...program.args, ...files, ...listen]
    running.push(await startProcess(program.command, args, { readyWhen: () => listens(port) }))
    return port
  }
  return {
    name: program.name,
    tlsPort: await start('-certmode', 'manual', '-certdir', folder),
    redirectServer: await start(),
    [Symbol.asyncDispose]: async () => {
      await Promise.all(running.map(async (one) => await one.stop()))
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** What a relay takes that waits for something before it answers or ends: derper's longest is 10 s. */
const LONG_MS = 15_000

/** Plays a scene on a relay and returns the transcript. */
export async function play(scene: Scene, relay: RelayUnderTest, patience: Patience): Promise<string[]> {
  const stage = new Stage(relay, patience)
  try {
    await scene(stage)
    await stage.close()
    return stage.lines
  } finally {
    stage.clear()
  }
}

export class Stage implements Script {
  readonly relay: RelayUnderTest
  readonly lines: string[] = []
  readonly #patience: Patience
  readonly #players: Player[] = []
  readonly #actors = new Map<string, Actor>()
  readonly #names = new Map([[toHex(server.publicKey), 'server']])
  readonly #nonces = new Set<string>()
  #stirredMs = 0
  #stirred = Promise.withResolvers<void>()

  constructor(relay: RelayUnderTest, patience: Patience) {
    this.relay = relay
    this.#patience = patience
  }

  /** The actor of that name; with a key of its own in each play, so that several can be played at once. */
  actor(name: string): Actor {
    return this.#actors.get(name) ?? this.castAs(name, keyPairFrom(randomBytes(KEY_BYTES)))
  }

  /** An actor with a key that was not made for this scene. */
  castAs(name: string, pair: KeyPair): Actor {
    const actor = new Actor(name, pair)
    this.#actors.set(name, actor)
    this.#names.set(toHex(actor.key), name)
    return actor
  }

  /** A connection on which nothing was said yet. */
  async dial(name: string, dial: Partial<Dial> = {}, actor: Actor = this.actor(name)): Promise<Player> {
    const { tls = {} } = dial
    const port = tls === false ? this.relay.redirectServer : this.relay.tlsPort
    const player = new Player(name, actor, { port, ...dial, tls }, this)
    this.#players.push(player)
    await player.open()
    return player
  }

  /** A connection that is DERP's, up to the point where the client logs in; ServerKey is on its way. */
  async open(name: string, options: JoinOptions = {}): Promise<Player> {
    const player = await this.#dialWay(name, options)
    const { asks } = ways[options.way ?? 'fast start over TLS 1.3']
    if (asks === 'fast-start') player.expectFrames()
    player.request(requests[asks])
    await this.settle(asks === 'fast-start' ? 1 : 2)
    return player
  }

  /** A client that has logged in. With fast start all goes in one write, as Tailscale's clients do it. */
  async join(name: string, options: JoinOptions = {}): Promise<Player> {
    const { more = 0 } = options
    const { asks } = ways[options.way ?? 'fast start over TLS 1.3']
    if (asks === 'fast-start') {
      const player = await this.#dialWay(name, options)
      player.expectFrames()
      player.request(requests[asks], clientInfo(player.actor, options.info), ...(options.behind ?? []))
      await this.settle(2 + more)
      return player
    }
    const player = await this.open(name, options)
    player.logIn(options.info, ...(options.behind ?? []))
    await this.settle(1 + more)
    return player
  }

  async request(name: string, text: string, dial: Partial<Dial> = {}): Promise<Player> {
    const player = await this.dial(name, dial)
    player.request(text)
    await this.settle(1)
    return player
  }

  /**
   * Waits until so many things were received by all players together, and then until nothing more comes; adds what
   * came to the transcript, player by player.
   */
  async settle(
    expectedCount: number,
    order: 'ordered' | 'unordered' = 'ordered',
    limit: 'soon' | 'up to 15 s' = 'soon',
  ): Promise<void> {
    const { answerMs, quietMs } = this.#patience
    const isThere = (): boolean => this.#itemCount >= expectedCount
    await this.#stirredUntil(isThere, limit === 'soon' ? answerMs : LONG_MS)
    this.#stirredMs = performance.now()
    for (let left = quietMs; left > 0; left = this.#stirredMs + quietMs - performance.now()) await sleep(left)
    const isVain = !isThere()
    for (const player of this.#players) {
      const items = player.take().map((lines) => lines.map((line) => `${player.name} < ${line}`))
      const sorted = order === 'ordered' ? items : items.toSorted((a, b) => (a.join() < b.join() ? -1 : 1))
      this.lines.push(...sorted.flat())
    }
    if (isVain) this.write(`(waited in vain for ${expectedCount})`)
  }

  /** The same, once a player's connection has ended: derper may take seconds between saying so and doing it. */
  async settleEnd(player: Player): Promise<void> {
    await this.#stirredUntil(() => player.isOver, LONG_MS)
    await this.settle(1)
  }

  async #stirredUntil(isThere: () => boolean, limitMs: number): Promise<void> {
    const expired = Promise.withResolvers<void>()
    let isExpired = false
    const timer = setTimeout(() => {
      isExpired = true
      expired.resolve()
    }, limitMs)
    while (!isThere() && !isExpired) await Promise.race([this.#stirred.promise, expired.promise])
    clearTimeout(timer)
  }

  /** The same, with what is received several times over written down once: how often is not promised. */
  async settleRepeats(): Promise<void> {
    const start = this.lines.length
    await this.settle(1)
    const received = this.lines.splice(start)
    this.lines.push(...new Set(received.map((line) => `${line} (at least once)`)))
  }

  /** A client leaves; done when the relay has had time to notice. What comes of it is yet to be awaited. */
  async hangUp(player: Player): Promise<void> {
    await player.hangUp()
    // The relay's own end of the connection may come before it has told itself who left.
    await sleep(this.#patience.quietMs)
  }

  /** Lets time pass that the relay counts. */
  async pause(ms: number): Promise<void> {
    await this.settle(0)
    await sleep(ms)
  }

  /** The end of the scene: what came last, and what is left of things that did not come whole. */
  async close(): Promise<void> {
    await this.settle(0)
    for (const player of this.#players) this.lines.push(...player.unfinished())
  }

  get #itemCount(): number {
    return this.#players.reduce((sum, player) => sum + player.itemCount, 0)
  }

  write(line: string): void {
    this.lines.push(line)
  }

  nameOf(key: Uint8Array): string {
    return this.#names.get(toHex(key)) ?? ''
  }

  stir(): void {
    this.#stirredMs = performance.now()
    this.#stirred.resolve()
    this.#stirred = Promise.withResolvers<void>()
  }

  isFresh(nonce: Uint8Array): boolean {
    const count = this.#nonces.size
    return this.#nonces.add(toHex(nonce)).size > count
  }

  clear(): void {
    for (const player of this.#players) player.destroy()
  }

  async #dialWay(name: string, options: JoinOptions): Promise<Player> {
    const { way = 'fast start over TLS 1.3', actor, localAddress } = options
    return await this.dial(name, { tls: ways[way].tls, localAddress }, actor)
  }
}

/** What opens the stream, by name of the way. */
export const requests = {
  'fast-start': textOf(upgradeRequest(host, { isFastStart: true })),
  upgrade: textOf(upgradeRequest(host, { isFastStart: false })),
  websocket: textOf(webSocketRequest(host, DERP_PATH, webSocketHandshake.key)),
} as const

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
