// A key's connections to the relay's threads, as the lane has heard of them. Kept by relay-side.ts.

interface Registration {
  readonly thread: number
  activity: number
}

/** On which threads of the relay a key is connected. */
export class Elsewhere {
  readonly key: Uint8Array
  registrations: readonly Registration[] = []

  constructor(key: Uint8Array) {
    this.key = key
  }

  /** Where it was active last. */
  get latest(): Registration | undefined {
    let latest: Registration | undefined
    for (const one of this.registrations) {
      if (latest === undefined || ((one.activity - latest.activity) | 0) >= 0) latest = one
    }
    return latest
  }
}
