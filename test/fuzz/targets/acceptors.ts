// Whole acceptors, over real sockets, in each way of TLS: a client of the runtime shakes hands and talks through a line that damages
// what it sends, and what accepts it answers, closes, or ends in the middle. What arrives is the beginning of what was sent,
// whatever the damage; every connection ends and is counted, nothing throws, and a good client is served afterwards.

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:tls'
import { AcceptorHarness, type AcceptedConnection } from '../../support/acceptor-harness.ts'
import { waitUntil } from '../../support/process.ts'
import { Damage, DAMAGE_CORPUS, SENT, talk } from '../damage.ts'
import { pieces, type Random } from '../random.ts'
import { invariant, magnitude, same, type FuzzTarget } from '../target.ts'

type Way = 'openssl' | 'handles' | 'sockets'

/** Without a byte for so long, both sides wait for each other, and the line ends. */
const QUIET_MS = 20
const LOOK_EVERY_MS = 2
/** A connection whose line has ended has ended after so long. The acceptor's own limit of a graceful close is a second. */
const ENDED_WITHIN_MS = 10_000

/** The line between the client and the acceptor's port. */
class Line {
  readonly client: Duplex
  isUndisturbed = true
  activity = 0
  readonly #tcp: Socket

  constructor(tcp: Socket, script: Buffer, random: Random) {
    this.#tcp = tcp
    const damage = new Damage(script)
    this.client = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        const { bytes, isDamaged, isEnd } = damage.next(chunk)
        this.isUndisturbed &&= !isDamaged
        this.activity++
        // What the client says after the line has ended, nobody hears.
        if (tcp.writableEnded) return done()
        for (const piece of pieces(bytes, random.cuts(bytes.length))) tcp.write(piece)
        if (isEnd) tcp.end()
        done()
      },
      final: (done) => {
        tcp.end()
        done()
      },
    })
    tcp.on('data', (chunk: Buffer) => {
      this.activity++
      this.client.push(chunk)
    })
    tcp.once('close', () => this.client.push(null))
  }

  /** Resolves when the connection has ended, or nothing happens any more on a damaged line. */
  async over(): Promise<void> {
    for (let quietMs = 0; quietMs < QUIET_MS && !this.#tcp.destroyed; quietMs += LOOK_EVERY_MS) {
      const before = this.activity
      await sleep(LOOK_EVERY_MS)
      if (this.isUndisturbed || this.activity !== before) quietMs = 0
    }
  }
}

/** What the relay does with a connection: it answers, and now and then it ends it. */
function serve(line: Line, accepted: AcceptedConnection, random: Random): void {
  let answers = 0
  accepted.onBytes = () => {
    const { connection } = accepted
    if (accepted.closedCount > 0) return
    if (answers === accepted.writtenCount) {
      answers++
      connection.write(Buffer.alloc(random.below(40_000), 7), true)
    }
    if (!random.chance(15)) return
    line.isUndisturbed = false
    accepted.onBytes = () => undefined
    if (random.chance(2)) connection.destroy()
    else connection.close()
  }
}

async function endedWithin(tcp: Socket): Promise<boolean> {
  const isLate = sleep(ENDED_WITHIN_MS, false, { ref: false })
  return tcp.closed || (await Promise.race([once(tcp, 'close').then(() => true), isLate]))
}

function acceptorTarget(way: Way): FuzzTarget {
  let harness: AcceptorHarness | undefined

  async function attempt(input: Buffer, random: Random): Promise<string> {
    const acceptor = harness as AcceptorHarness
    const tcp = acceptor.tcp()
    await once(tcp, 'connect')
    const line = new Line(tcp, input, random)
    acceptor.onAccepted = (one) => serve(line, one, random)
    const maxVersion = random.chance(3) ? 'TLSv1.2' : 'TLSv1.3'
    const client = connect({ socket: line.client, rejectUnauthorized: false, maxVersion })
    client.on('error', () => undefined)
    client.on('secureConnect', () => void talk(client))
    client.resume()
    await line.over()
    tcp.end()
    invariant(await endedWithin(tcp), 'the connection does not end')
    client.destroy()
    const [accepted] = acceptor.accepted.splice(0)
    // Told a moment after the client sees it.
    if (accepted !== undefined) await waitUntil('the end is told', () => accepted.closedCount > 0)
    const received = Buffer.concat(accepted?.chunks ?? [])
    invariant(received.equals(SENT.subarray(0, received.length)), 'other bytes arrive than were sent')
    invariant(
      !line.isUndisturbed || received.length === SENT.length,
      `${received.length} bytes arrive of an undamaged line`,
    )
    if (accepted !== undefined) same(accepted.closedCount, 1, 'ends of the connection')
    return [accepted !== undefined, accepted?.endReason, magnitude(received.length)].join(' ')
  }

  return {
    name: `acceptor-${way}`,
    waits: true,
    inputBytesMax: 96,
    corpus: DAMAGE_CORPUS,
    attempt,
    open: async () => {
      harness = await new AcceptorHarness({ way, tls: 'TLSv1.3' }).open()
    },
    close: async () => {
      const acceptor = harness as AcceptorHarness
      acceptor.onAccepted = () => undefined
      const { accepted } = await acceptor.pair()
      same([acceptor.accepted.length, accepted.closedCount], [1, 0], 'a good client at last')
      await acceptor.close()
      const { counters } = acceptor
      const current = (): number => counters.get('tlsCurrent12') + counters.get('tlsCurrent13')
      await waitUntil('no connection is counted', () => current() === 0)
    },
  }
}

export const ACCEPTOR_TARGETS: readonly FuzzTarget[] = (['openssl', 'handles', 'sockets'] as const).map(
  acceptorTarget,
)
