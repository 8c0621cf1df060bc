// What the lane counts, in memory that the control thread reads. Numbers only; names for operators are ops' matter.

const COUNTED = [
  'receivedPackets',
  'receivedBytes',
  'sentToPeers',
  'sentToPeersBytes',
  'sentToRelay',
  'receivedFromRelay',
  // Handshakes with the lane itself.
  'handshakesAnswered',
  'handshakesProven',
  'handshakesInvalid',
  'handshakesUnknownKey',
  'handshakesRefused',
  'handshakesReplayed',
  'handshakesOverBudget',
  'handshakesAskedForCookie',
  'probesSent',
  'probesAnswered',
  'moves',
  'expired',
  // Drops, by reason.
  'dropMalformed',
  'dropStranger',
  'dropNoLink',
  'dropUnknownIndex',
  'dropNotHere',
  'dropRate',
  'dropUnproven',
  'dropSendQueue',
  'dropThreadQueue',
  'dropSendError',
] as const

const GAUGES = ['membersKnown', 'membersHere', 'routes'] as const

const NUMBERS = [...COUNTED, ...GAUGES] as const
const SWEEPS_AT = NUMBERS.length

export type LaneNumber = (typeof COUNTED)[number]
export type LaneNumbers = Record<(typeof NUMBERS)[number], number>

const AT = Object.fromEntries(NUMBERS.map((name, at) => [name, at])) as LaneNumbers

export class LaneCounters {
  readonly #values: Float64Array

  constructor(memory: SharedArrayBuffer) {
    this.#values = new Float64Array(memory)
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer((SWEEPS_AT + 1) * Float64Array.BYTES_PER_ELEMENT)
  }

  add(name: LaneNumber, amount = 1): void {
    const at = AT[name]
    this.#values[at] = (this.#values[at] as number) + amount
  }

  set(name: (typeof GAUGES)[number], value: number): void {
    this.#values[AT[name]] = value
  }

  /** The thread's timer has fired: the thread does not hang. */
  countSweep(): void {
    this.#values[SWEEPS_AT] = this.sweeps + 1
  }

  get sweeps(): number {
    return this.#values[SWEEPS_AT] as number
  }

  read(): LaneNumbers {
    return Object.fromEntries(NUMBERS.map((name, at) => [name, this.#values[at] as number])) as LaneNumbers
  }
}
