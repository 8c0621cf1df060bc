// The readiness check of STUN: sends a binding request over the network, as a client does, at intervals. Clients choose
// regions by STUN, so a relay whose STUN is silent gets no clients.

import type { HealthCheck, CheckOutcome } from './health.ts'

export class StunWatch implements HealthCheck {
  readonly name = 'stun'
  readonly #request: () => Promise<number>
  #outcome: CheckOutcome = { isOk: false, detail: 'no test request sent yet' }

  /** @param request resolves to the round-trip time in ms; rejects if no answer comes */
  constructor(request: () => Promise<number>) {
    this.#request = request
  }

  /** Must be called every few seconds. */
  async look(): Promise<void> {
    try {
      const roundTripMs = await this.#request()
      this.#outcome = { isOk: true, detail: `test request answered in ${roundTripMs.toFixed(1)} ms` }
    } catch (error) {
      this.#outcome = { isOk: false, detail: (error as Error).message }
    }
  }

  check(): CheckOutcome {
    return this.#outcome
  }
}
