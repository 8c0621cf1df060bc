// A link that takes everything at once and keeps nothing: for the cost of a relay without the socket. Tells the session
// that its burst was taken when told to, as the system does after the turn.

import type { Link, LinkListener } from '#relay/ports.ts'

export class TakingLink implements Link {
  readonly remote = { ip: new Uint8Array(16), port: 0 }
  readonly isWebSocket = false
  listener: LinkListener | undefined = undefined
  /** A whole burst was written, and the session was not told yet that it was taken. */
  isBurstWhole = false
  bytes = 0

  write(bytes: Uint8Array, isLast: boolean): boolean {
    this.bytes += bytes.length
    this.isBurstWhole = isLast
    return true
  }

  /** The system has taken the burst, if there is one. */
  take(): void {
    if (!this.isBurstWhole) return
    this.isBurstWhole = false
    this.listener?.written()
  }

  becomeTrunk(): void {}

  readAs(): void {}

  readInTurn(): void {}

  readonly receivedBytes = 0

  get sentBytes(): number {
    return this.bytes
  }

  readonly roundTripSeconds = 0

  pause(): void {}

  resume(): void {}

  finish(): void {}

  close(): void {}

  destroy(): void {}
}
