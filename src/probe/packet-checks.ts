// Packets between two clients of a relay, sent to the other client and back, and the time of the round trips.

import { randomBytes } from 'node:crypto'
import type { DerpClient } from '#client/derp-client.ts'
import { bytesEqual } from '#protocol/bytes.ts'
import { CheckError, errorText, within, type Outcome } from './check.ts'

export interface RoundTrips {
  /** The size of each packet. */
  readonly bytes: number
  readonly count: number
  /** For each round trip. */
  readonly timeoutMs: number
}

/** Sends packets from `sender` to `receiver`, which returns them; a client may send to itself. The time is the median of the round trips. */
export async function measureRoundTrips(
  sender: DerpClient,
  receiver: DerpClient,
  trips: RoundTrips,
): Promise<Outcome<true>> {
  const stopReturning = receiver.on('packet', ({ source, packet }) => {
    if (receiver !== sender && bytesEqual(source, sender.publicKey)) receiver.send(source, packet)
  })
  const times: number[] = []
  try {
    for (let round = 1; round <= trips.count; round++) {
      times.push(await roundTrip(sender, receiver, trips))
    }
  } catch (error) {
    const which = trips.count === 1 ? '' : ` (packet ${times.length + 1} of ${trips.count})`
    if (error instanceof CheckError) throw error
    throw new Error(`${errorText(error)}${which}`, { cause: error })
  } finally {
    stopReturning()
  }
  const way = receiver === sender ? 'to itself' : 'and back'
  const detail = `${times.length} × ${trips.bytes} bytes ${way}, median`
  return { status: 'ok', value: true, detail, ms: median(times) }
}

async function roundTrip(
  sender: DerpClient,
  receiver: DerpClient,
  { bytes, timeoutMs }: RoundTrips,
): Promise<number> {
  const sent = randomBytes(bytes)
  const back = sender.next('packet', ({ source, packet }) => {
    return bytesEqual(source, receiver.publicKey) && packet.equals(sent)
  })
  const gone = sender
    .next('peerGone', ({ key }) => bytesEqual(key, receiver.publicKey))
    .then(() => {
      throw new CheckError(
        'the relay reports that the other client is gone, although it is logged in',
        'is there a load balancer in front of several relays?',
      )
    })
  gone.catch(() => undefined)
  const limitedBefore = sender.packetsLimited
  const startMs = performance.now()
  sender.send(receiver.publicKey, sent)
  if (sender.packetsLimited > limitedBefore) {
    throw new Error(`the relay asks clients for a send limit that a packet of ${bytes} bytes exceeds`)
  }
  await within(timeoutMs, `a packet of ${bytes} bytes did not come back`, Promise.race([back, gone]))
  return performance.now() - startMs
}

function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
