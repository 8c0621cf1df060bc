// The sockets of this host as Linux lists them in /proc, one line each: parsing only. On other systems there are no such
// files, and nothing is found.

import { endianness } from 'node:os'
import type { RemoteAddress } from '#relay/ports.ts'

/** One line of /proc/self/net/tcp, tcp6, udp or udp6; all texts are as the kernel prints them. */
export interface KernelSocket {
  readonly local: string
  readonly remote: string
  /** Two hexadecimal digits. */
  readonly state: string
  /** Kind and time of the timer that runs. */
  readonly timer: string
  readonly retransmits: number
  /** As in the name of the descriptor, `socket:[INODE]`. */
  readonly inode: string
}

/** The sockets of one file, one at a time: of a hundred thousand, few are of interest. */
export function* kernelSockets(table: string): Generator<KernelSocket> {
  for (const line of table.split('\n').slice(1)) {
    // sl local remote state tx:rx timer:when retransmits uid timeout inode …
    const [, local = '', remote = '', state = '', , timer = '', retransmits = '0', , , inode = ''] = line
      .trim()
      .split(/\s+/)
    yield { local, remote, state, timer, retransmits: Number.parseInt(retransmits, 16), inode }
  }
}

/** `0100007F:0CD3`, or four such words for IPv6, each in the machine's byte order. */
export function kernelAddress(text: string): RemoteAddress {
  const [ipText = '', portText = '0'] = text.split(':')
  const words = Buffer.from(ipText, 'hex')
  if (endianness() === 'LE') words.swap32()
  const ip = new Uint8Array(16)
  ip.set(words, 16 - words.length)
  if (words.length === 4) ip.set([0xff, 0xff], 10)
  return { ip, port: Number.parseInt(portText, 16) }
}
