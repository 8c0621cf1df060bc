// Finds connections whose remote host has stopped acknowledging, as after a pulled cable: TCP alone takes a
// quarter of an hour to give them up, and Node can't set TCP_USER_TIMEOUT. Linux tells in /proc which sockets
// are retransmitting; one that does so for the whole time limit is dead. Elsewhere finds nothing.

import { readFile } from 'node:fs/promises'
import { endianness } from 'node:os'
import type { RemoteAddress } from '#relay/ports.ts'

const TABLES = ['/proc/self/net/tcp', '/proc/self/net/tcp6'] as const
/** To print the tables takes the system milliseconds, however few connections are in them; this takes none. */
const COUNTERS = '/proc/self/net/snmp'
const ESTABLISHED = '01'
/** The retransmission timer; the others are keepalive, zero-window probes and the like. */
const RETRANSMITTING = '01'

/** A socket that waits for acknowledgement. */
export interface Waiting {
  /** Local and remote address and port as the kernel prints them: stable, and unique while it lives. */
  readonly id: string
  readonly localPort: number
  readonly remote: RemoteAddress
}

export class UnacknowledgedWatch {
  readonly #localPort: number
  readonly #limitMs: number
  readonly #read: (path: string) => Promise<string>
  #since = new Map<string, number>()
  #isLooking = false
  /** Of the last look; undefined where the system does not count them. */
  #resent: string | undefined = undefined

  /** @param read a file of the kernel's as text; empty where there is none */
  constructor(localPort: number, limitMs: number, read = readFromKernel) {
    this.#localPort = localPort
    this.#limitMs = limitMs
    this.#read = read
  }

  /** Call every few seconds; returns the remotes that have been silent for the limit. */
  async look(nowMs: number): Promise<RemoteAddress[]> {
    // With tens of thousands of sockets on a busy host the last look may take longer than the time to the next one.
    if (this.#isLooking) return []
    this.#isLooking = true
    try {
      const resent = resentSegments(await this.#read(COUNTERS))
      const isQuiet = resent !== undefined && resent === this.#resent
      this.#resent = resent
      // Whoever is looked for has been sent something again since the last look, or was waited for at that.
      if (isQuiet && this.#since.size === 0) return []
      const tables = await Promise.all(TABLES.map(this.#read))
      return this.judge(tables.flatMap(retransmitting), nowMs)
    } finally {
      this.#isLooking = false
    }
  }

  /** The same for a list already read. */
  judge(waiting: readonly Waiting[], nowMs: number): RemoteAddress[] {
    const since = new Map<string, number>()
    const dead: RemoteAddress[] = []
    for (const { id, localPort, remote } of waiting) {
      if (localPort !== this.#localPort) continue
      const firstMs = this.#since.get(id) ?? nowMs
      since.set(id, firstMs)
      if (nowMs - firstMs >= this.#limitMs) dead.push(remote)
    }
    this.#since = since
    return dead
  }
}

async function readFromKernel(path: string): Promise<string> {
  return await readFile(path, 'latin1').catch(() => '')
}

/** How many segments this host has sent again: a line of names, and one of numbers. */
function resentSegments(counters: string): string | undefined {
  const [names = [], numbers = []] = counters
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '))
  return numbers[names.indexOf('RetransSegs')]
}

/** The established sockets in a table of the kernel's that have sent again and not been answered since. */
export function retransmitting(table: string): Waiting[] {
  const found: Waiting[] = []
  for (const line of table.split('\n').slice(1)) {
    // sl local remote state tx:rx timer:when retransmits …
    const [, local = '', remote = '', state, , timer = '', retransmits = '0'] = line.trim().split(/\s+/)
    if (state !== ESTABLISHED || !timer.startsWith(`${RETRANSMITTING}:`)) continue
    if (Number.parseInt(retransmits, 16) === 0) continue
    found.push({ id: `${local} ${remote}`, localPort: portOf(local), remote: addressOf(remote) })
  }
  return found
}

function portOf(address: string): number {
  return Number.parseInt(address.split(':')[1] ?? '0', 16)
}

/** `0100007F:0CD3`, or four such words for IPv6, each in the machine's byte order. */
function addressOf(address: string): RemoteAddress {
  const words = Buffer.from(address.split(':')[0] ?? '', 'hex')
  if (endianness() === 'LE') words.swap32()
  const ip = new Uint8Array(16)
  ip.set(words, 16 - words.length)
  if (words.length === 4) ip.set([0xff, 0xff], 10)
  return { ip, port: portOf(address) }
}
