// New clients of a relay that is upgraded: they connect, ask STUN and request pages all the time, and count what fails.

import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { DerpClient, newKeyPair } from '#client/derp-client.ts'
import { askStun } from '#client/stun-request.ts'
import type { RunHost } from './run-host.ts'

/** Between two of a kind. */
const EVERY_MS = 20
/** Several times the wait of a client before its last retransmission. */
const STUN_MS_MAX = 3_000

type Kind = 'connections' | 'stunAnswers' | 'httpAnswers' | 'adminAnswers'

export class Newcomers {
  readonly failures: string[] = []
  readonly counts: Record<Kind, number> = { connections: 0, stunAnswers: 0, httpAnswers: 0, adminAnswers: 0 }
  #isOver = false
  readonly #done: Promise<unknown>

  constructor(host: RunHost) {
    const { address, ports, isHeld } = host
    const kinds = [
      this.#repeat('connections', async () => await logIn(host)),
      this.#repeat('stunAnswers', async () => await askStun(address, ports.stun, STUN_MS_MAX)),
      this.#repeat(
        'httpAnswers',
        async () => await request(`http://${address}:${ports.http}/generate_204`, 204),
      ),
    ]
    // Without a holder, the newer run opens the admin port after the older one has closed it.
    if (isHeld)
      kinds.push(
        this.#repeat(
          'adminAnswers',
          async () => await request(`http://${address}:${ports.admin}/livez`, 200),
        ),
      )
    this.#done = Promise.all(kinds)
  }

  async end(): Promise<void> {
    this.#isOver = true
    await this.#done
  }

  async #repeat(kind: Kind, once: () => Promise<unknown>): Promise<void> {
    while (!this.#isOver) {
      try {
        await once()
        this.counts[kind]++
      } catch (error) {
        this.failures.push(`${kind}: ${String(error)}`)
      }
      await sleep(EVERY_MS)
    }
  }
}

async function logIn({ address, ports }: RunHost): Promise<void> {
  const client = new DerpClient({
    host: 'localhost',
    dialAddress: address,
    port: ports.derp,
    tls: { isInsecure: true },
    key: newKeyPair(),
  })
  try {
    await client.connect()
  } finally {
    await client.close()
  }
}

/** On a connection of its own. */
async function request(url: string, expected: number): Promise<void> {
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const asked = get(url, { agent: false }, (response) => {
      response
        .resume()
        .once('end', () => resolve(response.statusCode))
        .once('error', reject)
    })
    asked.once('error', reject)
  })
  if (status !== expected) throw new Error(`${url}: ${status}`)
}
