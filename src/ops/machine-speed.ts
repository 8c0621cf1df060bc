// How fast this machine is now, beside the machine of the reference measurements: by what packets are made of, which is
// encryption, memory and calls from JavaScript. A measurement takes a tenth of a millisecond.

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

/** Of a round on the reference machine (docs/decisions/0020). */
const REFERENCE_US = 50
const PACKETS_PER_ROUND = 4
/** The first finds caches cold. */
const ROUNDS_PER_LOOK = 4
/** Until the code is compiled: a few milliseconds, once. */
const WARM_UP_ROUNDS = 200
const PACKET_BYTES = 1_420
const IV_BYTES = 12
const TAG_BYTES = 16
/** One a second. A round that was interrupted takes longer, so the shortest counts; and machines change their speed. */
const ROUNDS_KEPT = 30

export class MachineSpeed {
  readonly #key = randomBytes(32)
  readonly #packet = randomBytes(PACKET_BYTES)
  readonly #rounds: number[] = []

  look(): void {
    if (this.#rounds.length === 0) this.#fastestUs(WARM_UP_ROUNDS)
    this.#rounds.push(this.#fastestUs(ROUNDS_PER_LOOK))
    if (this.#rounds.length > ROUNDS_KEPT) this.#rounds.shift()
  }

  /** How many times as long as the reference machine this one takes; 1 before the first look. */
  get slowness(): number {
    return this.#rounds.length === 0 ? 1 : Math.min(...this.#rounds) / REFERENCE_US
  }

  #fastestUs(rounds: number): number {
    let fastestMs = Infinity
    for (let round = 0; round < rounds; round++) {
      const startMs = performance.now()
      for (let n = 0; n < PACKETS_PER_ROUND; n++) this.#encryptAndDecrypt()
      fastestMs = Math.min(fastestMs, performance.now() - startMs)
    }
    return 1_000 * fastestMs
  }

  #encryptAndDecrypt(): void {
    const iv = Buffer.alloc(IV_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#key, iv)
    const encrypted = Buffer.concat([cipher.update(this.#packet), cipher.final()])
    const decipher = createDecipheriv('aes-256-gcm', this.#key, iv)
    decipher.setAuthTag(cipher.getAuthTag().subarray(0, TAG_BYTES))
    Buffer.concat([decipher.update(encrypted), decipher.final()])
  }
}
