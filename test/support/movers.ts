// A thousand clients of the load generator at two relays of a region, three of four at the first one: each sends to another, and
// reconnects at once to the other relay when its connection ends. They count what they lose.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generatorPath } from '../../bench/load/build-generator.ts'
import { delayMs } from '../../bench/load/delays.ts'
import { Generator } from '../../bench/load/generator-process.ts'
import { loginFile, newClients, serverKeyAt } from '../../bench/load/login-file.ts'
import type { MovedOutcome } from '../../bench/load/outcome.ts'

const CLIENTS = 1_000
/**
 * Packets per second of each client. Two cores carry 10,000 a second of so many connections together with the clients that send
 * them, whatever else a machine does. LOAD_RATE=50 is the full size.
 */
const RATE = Number(process.env['LOAD_RATE'] ?? 10)
const PACKET_BYTES = 200
const SECONDS = 16

/** Whether the generator can be built; says so if not. */
export async function hasMovers(what: string): Promise<boolean> {
  try {
    await generatorPath()
    return true
  } catch (error) {
    process.stderr.write(`SKIPPING ${what}: ${String(error)}\n`)
    return false
  }
}

export class Movers implements AsyncDisposable {
  readonly #folder: string
  readonly #generator: Generator

  private constructor(folder: string, generator: Generator) {
    this.#folder = folder
    this.#generator = generator
  }

  /** Resolves when all are connected and begin to send. */
  static async start(relays: readonly { readonly host: string; readonly port: number }[]): Promise<Movers> {
    const folder = await mkdtemp(join(tmpdir(), 'movers-'))
    const clients = newClients(CLIENTS)
    const args: string[] = []
    for (const [i, { host, port }] of relays.entries()) {
      const path = join(folder, `logins-${i}`)
      await writeFile(path, loginFile(await serverKeyAt({ host, port, isPlain: false }), clients))
      args.push(
        ...(i === 0
          ? ['--addr', `${host}:${port}`, '--logins']
          : ['--far', `${host}:${port}`, '--far-logins']),
        path,
      )
    }
    args.push(
      '--move',
      `${CLIENTS}`,
      '--rate',
      `${CLIENTS * RATE}`,
      '--size',
      `${PACKET_BYTES}`,
      '--secs',
      `${SECONDS}`,
    )
    const movers = new Movers(folder, await Generator.start(args, '0-127'))
    await movers.#generator.next('held')
    return movers
  }

  /** Waits until the clients have ended. */
  async done(): Promise<MovedOutcome> {
    await this.#generator.done()
    return await this.#generator.next('moved')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#generator.stop()
    await rm(this.#folder, { recursive: true, force: true })
  }
}

/** One line of what clients of the server `name` have lost. */
export function printMoved(name: string, outcome: MovedOutcome): void {
  const { sent, received, unsent, late, lostP99, lostMost, disconnects, away } = outcome
  const times = [0.5, 0.99].map((share) => delayMs(away, share).toFixed(1))
  process.stderr.write(
    `${name}: ${CLIENTS} clients, ${RATE} packets/s each: ${sent} sent, ${sent - received} lost (per client: p99 ${lostP99}, ` +
      `most ${lostMost}), ${unsent} not sent for lack of a connection, ${late} because the generator was behind; ${disconnects} reconnects, ` +
      `away for ${times[0]} ms (p50), ${times[1]} ms (p99)\n`,
  )
}
