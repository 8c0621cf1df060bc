// Sockets that a service manager has opened and handed to this process: systemd's socket activation (sd_listen_fds(3)), or
// anything that does the same. Reads the variables and finds out what each descriptor is; which listener a socket is for is
// control/inherited-listeners.ts. Runs on the control thread, once.

import { readFileSync, readlinkSync } from 'node:fs'
import { ipToText } from '#protocol/ip-address.ts'
import { kernelAddress, kernelSockets, type KernelSocket } from './kernel-sockets.ts'

/** Descriptors are numbered from here, by agreement. */
const FIRST_DESCRIPTOR = 3
/** A relay has four listeners; each may have a socket for each thread, and for each address of the host. */
const SOCKETS_MAX = 1_024

export interface InheritedSocket {
  readonly descriptor: number
  /** By systemd's default the name of the socket unit; empty if there are no names. */
  readonly name: string
  readonly kind: 'tcp' | 'udp'
  /** `::` and `0.0.0.0` stand for all addresses. */
  readonly host: string
  readonly port: number
}

export interface InheritedSockets {
  readonly sockets: readonly InheritedSocket[]
  /** Descriptors that are no sockets to listen on, in words. */
  readonly problems: readonly string[]
}

/** The variables by which sockets are handed over. They are for this process only, not for the processes that it starts. */
export const LISTEN_VARIABLES = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'LISTEN_PIDFDID'] as const

/** The sockets that these variables hand to the process `pid`; none if they are for another process. */
export function inheritedSockets(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): InheritedSockets {
  const { LISTEN_PID: forPid, LISTEN_FDS: countText = '', LISTEN_FDNAMES: names = '' } = env
  if (forPid !== String(pid) || countText === '') return { sockets: [], problems: [] }
  const count = /^\d+$/.test(countText) ? Number(countText) : Number.NaN
  if (!(count <= SOCKETS_MAX)) {
    return { sockets: [], problems: [`LISTEN_FDS is ${countText}, expected a number up to ${SOCKETS_MAX}`] }
  }
  const nameOf = names.split(':')
  const tables = new KernelTables()
  const sockets: InheritedSocket[] = []
  const problems: string[] = []
  for (let i = 0; i < count; i++) {
    const descriptor = FIRST_DESCRIPTOR + i
    const found = tables.find(descriptor)
    if (found === undefined) {
      problems.push(
        `the inherited descriptor ${descriptor} is no TCP socket that listens, and no unconnected UDP socket`,
      )
    } else sockets.push({ descriptor, name: nameOf[i] ?? '', ...found })
  }
  return { sockets, problems }
}

type Kind = InheritedSocket['kind']

const TABLES: readonly (readonly [kind: Kind, path: string])[] = [
  ['tcp', '/proc/self/net/tcp6'],
  ['tcp', '/proc/self/net/tcp'],
  ['udp', '/proc/self/net/udp6'],
  ['udp', '/proc/self/net/udp'],
]
/** The kernel's number for a TCP socket that listens, and for a UDP socket without a remote. */
const STATES: Readonly<Record<Kind, string>> = { tcp: '0A', udp: '07' }

class KernelTables {
  readonly #byInode = new Map<string, readonly [kind: Kind, socket: KernelSocket]>()

  constructor() {
    for (const [kind, path] of TABLES) {
      for (const socket of kernelSockets(textOf(path))) {
        if (socket.state === STATES[kind]) this.#byInode.set(socket.inode, [kind, socket])
      }
    }
  }

  find(descriptor: number): { kind: Kind; host: string; port: number } | undefined {
    const [, inode = ''] = /^socket:\[(\d+)\]$/.exec(linkOf(descriptor)) ?? []
    const found = this.#byInode.get(inode)
    if (found === undefined) return undefined
    const [kind, { local }] = found
    const { ip, port } = kernelAddress(local)
    return { kind, host: ipToText(ip) || '::', port }
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    // This kernel has no such protocol, or this system no such files.
    return ''
  }
}

function linkOf(descriptor: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`)
  } catch {
    return ''
  }
}
