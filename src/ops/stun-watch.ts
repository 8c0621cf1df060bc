// Whether STUN answers: asked over the network as a client would, now and then. Clients choose regions by STUN, so a
// relay whose STUN is silent gets none.

import type { HealthCheck, CheckOutcome } from './health.ts'

export class StunWatch implements HealthCheck {
  readonly name = 'stun'
  readonly #ask: () => Promise<number>
  #outcome: CheckOutcome = { isOk: false, detail: 'not asked yet' }

  /** @param ask resolves to the round trip in ms; rejects when no answer came */
  constructor(ask: () => Promise<number>) {
    this.#ask = ask
  }

  /** To be called every few seconds. */
  async look(): Promise<void> {
    try {
      const roundTripMs = await this.#ask()
      this.#outcome = { isOk: true, detail: `answers itself in ${roundTripMs.toFixed(1)} ms` }
    } catch (error) {
      this.#outcome = { isOk: false, detail: (error as Error).message }
    }
  }

  check(): CheckOutcome {
    return this.#outcome
  }
}
