// The paths between the hosts of a delay router, in memory that the test and the router's thread share: what the test sets
// holds from the next packet on.

/** Kinds of packets that a path may block. */
export const BLOCKED = { udp: 1, tcp: 2, ipv6: 4, ipv4: 8 } as const
export type BlockedKind = keyof typeof BLOCKED

export interface RouterThreadData {
  /** Of the hosts' TUN devices, opened without blocking. */
  readonly descriptors: readonly number[]
  /** The last number of each host's address. */
  readonly numbers: readonly number[]
  readonly memory: SharedArrayBuffer
}

/** For each path from one host to another, at `from * hosts + to`. */
export class PathMemory {
  readonly delayMs: Float64Array
  readonly jitterMs: Float64Array
  /** 0 to 1. */
  readonly loss: Float64Array
  /** The sum of {@link BLOCKED}. */
  readonly blocked: Float64Array
  readonly carried: Float64Array
  readonly dropped: Float64Array
  readonly #stop: Int32Array

  constructor(memory: SharedArrayBuffer, hosts: number) {
    const paths = hosts ** 2
    const column = (i: number): Float64Array => new Float64Array(memory, 8 + i * paths * 8, paths)
    this.#stop = new Int32Array(memory, 0, 1)
    this.delayMs = column(0)
    this.jitterMs = column(1)
    this.loss = column(2)
    this.blocked = column(3)
    this.carried = column(4)
    this.dropped = column(5)
  }

  static memory(hosts: number): SharedArrayBuffer {
    return new SharedArrayBuffer(8 + 6 * hosts ** 2 * 8)
  }

  get isStopped(): boolean {
    return Atomics.load(this.#stop, 0) !== 0
  }

  stop(): void {
    Atomics.store(this.#stop, 0, 1)
  }
}
