// Finds connections whose remote host has stopped acknowledging, as after a pulled cable, where the kernel cannot be told to
// end them: without native calls, TCP_USER_TIMEOUT cannot be set (docs/decisions/0002), and TCP alone takes a quarter of an
// hour to give them up. Linux lists in /proc which sockets are retransmitting; one that does so for the whole time limit is
// dead. On other systems nothing is found. Runs on the control thread.

import { readFile } from 'node:fs/promises'
import type { RemoteAddress } from '#relay/ports.ts'
import { kernelAddress, kernelSockets } from './kernel-sockets.ts'

const TABLES = ['/proc/self/net/tcp', '/proc/self/net/tcp6'] as const
/** The system takes milliseconds to print the tables, however few connections are in them; this file costs next to nothing. */
const COUNTERS = '/proc/self/net/snmp'
const ESTABLISHED = '01'
/** The retransmission timer. Others are for keepalive, zero-window probes and the like. */
const RETRANSMITTING = '01'

/** A socket that has retransmitted and was not acknowledged since. */
export interface UnacknowledgedSocket {
  /** Local and remote address and port as the kernel prints them: stable, and unique among open sockets. */
  readonly id: string
  readonly localPort: number
  readonly remote: RemoteAddress
}

export class UnacknowledgedWatch {
  readonly #localPort: number
  readonly #limitMs: number
  readonly #read: (path: string) => Promise<string>
  /** Since when each socket is known to be unacknowledged, by its id. */
  #sinceMs = new Map<string, number>()
  #isChecking = false
  /** Segments retransmitted up to the last check; undefined where the system does not count them. */
  #retransmitted: string | undefined = undefined

  /** @param read reads one of the kernel's files as text; empty if there is no such file */
  constructor(localPort: number, limitMs: number, read = readFromKernel) {
    this.#localPort = localPort
    this.#limitMs = limitMs
    this.#read = read
  }

  /** Returns the remotes that have not acknowledged for the whole limit; to be called every few seconds. */
  async check(nowMs: number): Promise<RemoteAddress[]> {
    // With tens of thousands of sockets on a busy host, a check may take longer than the interval.
    if (this.#isChecking) return []
    this.#isChecking = true
    try {
      const retransmitted = retransmittedSegments(await this.#read(COUNTERS))
      const isUnchanged = retransmitted !== undefined && retransmitted === this.#retransmitted
      this.#retransmitted = retransmitted
      // An unacknowledged socket has retransmitted since the last check, or was found by that check already.
      if (isUnchanged && this.#sinceMs.size === 0) return []
      const tables = await Promise.all(TABLES.map(this.#read))
      return this.update(tables.flatMap(unacknowledgedSockets), nowMs)
    } finally {
      this.#isChecking = false
    }
  }

  /** The same for the sockets of one check. */
  update(sockets: readonly UnacknowledgedSocket[], nowMs: number): RemoteAddress[] {
    const sinceMs = new Map<string, number>()
    const dead: RemoteAddress[] = []
    for (const { id, localPort, remote } of sockets) {
      if (localPort !== this.#localPort) continue
      const firstMs = this.#sinceMs.get(id) ?? nowMs
      sinceMs.set(id, firstMs)
      if (nowMs - firstMs >= this.#limitMs) dead.push(remote)
    }
    this.#sinceMs = sinceMs
    return dead
  }
}

async function readFromKernel(path: string): Promise<string> {
  return await readFile(path, 'latin1').catch(() => '')
}

/** How many segments this host has retransmitted. The file has a line of names and a line of numbers. */
function retransmittedSegments(counters: string): string | undefined {
  const [names = [], numbers = []] = counters
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '))
  return numbers[names.indexOf('RetransSegs')]
}

/** The established sockets in one of the kernel's tables that have retransmitted and were not acknowledged since. */
export function unacknowledgedSockets(table: string): UnacknowledgedSocket[] {
  const found: UnacknowledgedSocket[] = []
  for (const { local, remote, state, timer, retransmits } of kernelSockets(table)) {
    if (state !== ESTABLISHED || !timer.startsWith(`${RETRANSMITTING}:`) || retransmits === 0) continue
    found.push({
      id: `${local} ${remote}`,
      localPort: kernelAddress(local).port,
      remote: kernelAddress(remote),
    })
  }
  return found
}
