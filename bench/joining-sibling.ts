// A sibling that joins running relays to receive their presence: the project's own mesh code in this process, over real
// links. Counts the frames that it receives; forwards nothing.

import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Dial } from '#mesh/dial.ts'
import { RouteTable } from '#mesh/route-table.ts'
import { Siblings } from '#mesh/siblings.ts'
import { BoxSecret } from '#protocol/box.ts'
import { BufferPool } from '#protocol/buffer-pool.ts'
import { parseMeshKeys } from '#protocol/key-file.ts'
import { HEADER_BYTES } from '#protocol/limits.ts'
import { keyPairFrom } from '#protocol/node-key.ts'
import { Counters } from '#relay/counters.ts'
import { Outbox } from '#relay/outbox.ts'
import { siblingDialler } from '#worker/sibling-dial.ts'
import { MemoryBudget } from '#relay/memory-budget.ts'
import type { Server } from './server.ts'

const SWEEP_MS = 500

export class JoiningSibling {
  /** Frames received, and their bytes without TLS. */
  frames = 0
  frameBytes = 0
  readonly #routeTable: RouteTable
  readonly #siblings: Siblings
  readonly #sweeper: NodeJS.Timeout
  #changed: () => void = () => undefined

  constructor(servers: readonly Server[]) {
    const [first] = servers
    if (first === undefined) throw new Error('no relays to join')
    const { meshKeyPath, certificatePath } = first.workFolder
    const meshKeys = parseMeshKeys(readFileSync(meshKeyPath, 'utf8'))
    if ('problem' in meshKeys) throw new Error(meshKeys.problem)
    const { privateKey, publicKey } = keyPairFrom(randomBytes(32))
    this.#routeTable = new RouteTable(1, () => this.#changed())
    const parts = { pool: new BufferPool(), counters: new Counters() }
    const limits = { outboxBytesMax: 1_048_576, outboxPacketsMax: Infinity }
    this.#siblings = new Siblings({
      identity: { name: 'joining-sibling', instance: '', publicKey, secret: new BoxSecret(privateKey) },
      meshKey: () => meshKeys.value[0],
      dial: this.#counted(siblingDialler({ ca: [readFileSync(certificatePath, 'utf8')], isPlain: false })),
      routeTable: this.#routeTable,
      makeOutbox: () => Outbox.forSibling({ memoryBudget: MemoryBudget.unbounded(), ...parts, limits }),
      keysMax: Infinity,
      now: () => performance.now(),
      random: (bytes) => randomBytes(bytes),
      siblingDrains: () => undefined,
      answered: () => undefined,
      later: (delayMs, callback) => void setTimeout(callback, delayMs),
      flushSoon: (one) => void setImmediate(() => one.flush()),
      onChange: () => undefined,
    })
    this.#sweeper = setInterval(() => this.#siblings.sweep(performance.now()), SWEEP_MS)
    this.#siblings.setSiblings(
      servers.map(({ address: { port } }) => ({
        name: `localhost:${port}`,
        host: 'localhost',
        port,
        dialHost: undefined,
        certName: undefined,
        isInside: true,
        isWatched: true,
        nodes: [],
      })),
    )
  }

  /** Waits until the route table has `keys` keys; returns the seconds that it took. */
  async waitForKeys(keys: number): Promise<number> {
    const started = performance.now()
    if (this.#routeTable.size < keys) {
      await new Promise<void>((resolve) => {
        this.#changed = () => this.#routeTable.size >= keys && resolve()
      })
    }
    this.#changed = () => undefined
    return (performance.now() - started) / 1_000
  }

  close(): void {
    clearInterval(this.#sweeper)
    this.#siblings.close()
  }

  #counted(dial: Dial): Dial {
    return (address, handler) =>
      dial(address, {
        greet: (serverKey) => handler.greet(serverKey),
        onFrame: (type, buffer, start, end) => {
          this.frames++
          this.frameBytes += HEADER_BYTES + end - start
          handler.onFrame(type, buffer, start, end)
        },
        written: () => handler.written(),
        onClosed: (why) => handler.onClosed(why),
      })
  }
}
