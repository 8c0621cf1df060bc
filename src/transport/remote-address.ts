// The address of a socket's remote end in the relay's form: sixteen bytes of IP, and a port.

import type { Socket } from 'node:net'
import { hostPortText } from '#protocol/host-port.ts'
import { ipToBytes, ipToText, unmapped } from '#protocol/ip-address.ts'
import type { RemoteAddress } from '#relay/ports.ts'

/** The remote of a connected socket; all zero if it has already gone. */
export function remoteOf(socket: Socket): RemoteAddress {
  return { ip: ipToBytes(unmapped(socket.remoteAddress ?? '')), port: socket.remotePort ?? 0 }
}

/** `203.0.113.7:41641` or `[2001:db8::7]:443`, as logs and lookups name a remote. */
export function remoteText(remote: RemoteAddress): string {
  return hostPortText(ipToText(remote.ip), remote.port)
}
