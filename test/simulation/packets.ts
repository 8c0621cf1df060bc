// The packets of a simulation: each contains its number, and bytes that follow from the number, so that it can be
// checked wherever it arrives. Sizes are a tunnel's: mostly small, some full, a few of the largest.

import { bytesFrom } from '../protocol/arbitraries.ts'
import { disco } from '../vectors/frames.ts'
import type { Random } from './random.ts'

/** Where the number of a disco message is: behind a complete disco message. */
export const DISCO_AT = disco.message.length
export const discoMagic = disco.message.subarray(0, 6)
const NUMBER_BYTES = 4
const PACKET_BYTES_MAX = 65_536

export class PacketBytes {
  /** Packets are pieces of this, from a position that follows from their number. */
  readonly #bytes = bytesFrom(1, 2 * PACKET_BYTES_MAX)

  /** Writes packet `id`, of random kind and size, to `target` at `at`; returns its length. */
  write(id: number, random: Random, target: Buffer, at: number): number {
    const isDisco = random.chance(0.1)
    const length = isDisco ? random.between(DISCO_AT + NUMBER_BYTES, 200) : someLength(random)
    const numberAt = isDisco ? DISCO_AT : 0
    if (isDisco) disco.message.copy(target, at)
    target.writeUInt32LE(id, at + numberAt)
    const from = id % PACKET_BYTES_MAX
    const fillBytes = length - numberAt - NUMBER_BYTES
    this.#bytes.copy(target, at + numberAt + NUMBER_BYTES, from, from + fillBytes)
    return length
  }

  /** Whether the bytes after the number are those that `write` wrote. */
  isIntact(id: number, isDisco: boolean, packet: Buffer): boolean {
    const fillAt = (isDisco ? DISCO_AT : 0) + NUMBER_BYTES
    const from = id % PACKET_BYTES_MAX
    return packet.compare(this.#bytes, from, from + packet.length - fillAt, fillAt) === 0
  }
}

function someLength(random: Random): number {
  const kind = random.next()
  if (kind < 0.7) return random.between(NUMBER_BYTES, 200)
  if (kind < 0.99) return random.between(200, 1_400)
  if (kind < 0.998) return random.between(1_400, 9_000)
  return random.between(9_000, PACKET_BYTES_MAX)
}
