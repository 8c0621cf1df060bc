// WireGuard's own UDP port, shared with it by a raw socket: the bridge sends from that port, and gets copies of what comes there for
// bridges, and of STUN's answers. WireGuard passes over packets that it does not know. So a hole in a NAT that is made from here is
// WireGuard's, too. A filter in the kernel keeps WireGuard's packets away. IPv4 only.
//
// Node does not watch raw sockets: this one is read every few milliseconds while something is expected, and closed when
// nothing was sent for a while. The checksum of UDP is left out, as it may be (RFC 768).

import { readFileSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import { AddressFinder } from './address-finder.ts'
import type { OnDatagram, UdpPort } from './direct-port.ts'
import type { LocalAddress } from './settings.ts'

/** Calls of the C library: results below 0 are errors. */
export interface RawCalls {
  socket(family: number, type: number, protocol: number): number
  setsockopt(fd: number, level: number, name: number, value: Uint8Array, bytes: number): number
  sendto(
    ...args: [fd: number, bytes: Uint8Array, length: number, flags: number, to: Uint8Array, size: number]
  ): number
  recvfrom(
    ...args: [
      fd: number,
      bytes: Uint8Array,
      length: number,
      flags: number,
      from: Uint8Array,
      size: Uint8Array,
    ]
  ): number
  close(fd: number): number
  /** Where the bytes of a buffer lie, as long as it is kept. */
  addressOf(buffer: Buffer): Promise<number>
}

const AF_INET = 2
const SOCK_RAW = 3
const SOCK_NONBLOCK = 0o4000
const SOCK_CLOEXEC = 0o2000000
const IPPROTO_UDP = 17
const SOL_SOCKET = 1
const SO_ATTACH_FILTER = 26
const MSG_DONTWAIT = 0x40
/** `struct sockaddr_in`. */
const ADDRESS_BYTES = 16
const UDP_HEADER_BYTES = 8
const PACKET_BYTES_MAX = 65_535
/** Of one turn: the kernel's queue is short, and a flood must not hold up the rest. */
const READS_MAX = 64
const READ_EVERY_MS = { awaiting: 10, idle: 250 }
const AWAITING_MS = 1_000
/** Longer than between pings on an idle way. */
const UNUSED_MS = 40_000
const [DFB1, STUN_COOKIE] = [0x44464231, 0x2112a442]

/** WireGuard's head and tag. */
const WIREGUARD_BYTES = 32
const MTU_USUAL = 1_420

/** The largest packet that WireGuard sends. */
export function packetBytesMax(interfaceName: string | undefined): number {
  try {
    return Number(readFileSync(`/sys/class/net/${interfaceName}/mtu`, 'utf8')) + WIREGUARD_BYTES
  } catch {
    return MTU_USUAL + WIREGUARD_BYTES
  }
}

interface Filter {
  /** Kept, because the program points to it. */
  readonly bytes: Buffer
  /** `struct sock_fprog`. */
  readonly program: Buffer
}

export class WireguardPort implements UdpPort {
  readonly isWireguards = true
  readonly port: number
  readonly #calls: RawCalls
  readonly #onPacket: OnDatagram
  readonly #filter: Filter
  readonly #finder = new AddressFinder((packet, to) => this.send(packet, to))
  readonly #buffer = Buffer.alloc(PACKET_BYTES_MAX)
  readonly #from = Buffer.alloc(ADDRESS_BYTES)
  readonly #fromBytes = Buffer.alloc(4)
  #fd = -1
  #sentMs = 0
  #timer: NodeJS.Timeout | undefined

  private constructor(port: number, calls: RawCalls, filter: Filter, onPacket: OnDatagram) {
    this.port = port
    this.#calls = calls
    this.#filter = filter
    this.#onPacket = onPacket
  }

  /** @throws Error if this process may not open raw sockets */
  static async open(port: number, calls: RawCalls, onPacket: OnDatagram): Promise<WireguardPort> {
    const bytes = filterOf(port)
    const program = Buffer.alloc(16)
    program.writeUInt16LE(bytes.length / 8, 0)
    program.writeBigUInt64LE(BigInt(await calls.addressOf(bytes)), 8)
    const opened = new WireguardPort(port, calls, { bytes, program }, onPacket)
    if (!opened.#open()) throw new Error('raw sockets need CAP_NET_RAW')
    return opened
  }

  send(packet: Uint8Array, { host, port }: LocalAddress): void {
    if (!isIPv4(host) || (this.#fd < 0 && !this.#open())) return
    const wasIdle = performance.now() - this.#sentMs > AWAITING_MS
    this.#sentMs = performance.now()
    if (wasIdle) this.#readSoon()
    const datagram = Buffer.alloc(UDP_HEADER_BYTES + packet.length)
    datagram.writeUInt16BE(this.port, 0)
    datagram.writeUInt16BE(port, 2)
    datagram.writeUInt16BE(datagram.length, 4)
    datagram.set(packet, UDP_HEADER_BYTES)
    const to = Buffer.alloc(ADDRESS_BYTES)
    to.writeUInt16LE(AF_INET, 0)
    to.set(host.split('.').map(Number), 4)
    this.#calls.sendto(this.#fd, datagram, datagram.length, MSG_DONTWAIT, to, ADDRESS_BYTES)
  }

  async publicAddresses(servers: readonly LocalAddress[]): Promise<readonly string[]> {
    return await this.#finder.find(servers.filter(({ host }) => isIPv4(host)))
  }

  close(): void {
    clearTimeout(this.#timer)
    if (this.#fd >= 0) this.#calls.close(this.#fd)
    this.#fd = -1
  }

  #open(): boolean {
    const calls = this.#calls
    const fd = calls.socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP)
    if (fd < 0) return false
    if (
      calls.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, this.#filter.program, this.#filter.program.length) <
      0
    ) {
      calls.close(fd)
      return false
    }
    this.#fd = fd
    this.#sentMs = performance.now()
    this.#readSoon()
    return true
  }

  #readSoon(): void {
    clearTimeout(this.#timer)
    const unsentMs = performance.now() - this.#sentMs
    if (unsentMs > UNUSED_MS) return this.close()
    const delayMs = unsentMs < AWAITING_MS ? READ_EVERY_MS.awaiting : READ_EVERY_MS.idle
    this.#timer = setTimeout(() => {
      this.#read()
      if (this.#fd >= 0) this.#readSoon()
    }, delayMs)
  }

  #read(): void {
    for (let i = 0; i < READS_MAX && this.#fd >= 0; i++) {
      this.#fromBytes.writeUInt32LE(ADDRESS_BYTES)
      const length = this.#calls.recvfrom(
        ...([this.#fd, this.#buffer, PACKET_BYTES_MAX, MSG_DONTWAIT, this.#from, this.#fromBytes] as const),
      )
      if (length < 0) return
      this.#take(this.#buffer.subarray(0, length))
    }
  }

  /** A packet with the heads of IP and UDP. */
  #take(bytes: Buffer): void {
    const udpAt = ((bytes[0] ?? 0) & 0x0f) * 4
    if (bytes.length < udpAt + UDP_HEADER_BYTES || bytes.readUInt16BE(udpAt + 2) !== this.port) return
    const packet = Buffer.from(bytes.subarray(udpAt + UDP_HEADER_BYTES))
    if (this.#finder.take(packet)) return
    this.#onPacket(packet, { host: bytes.subarray(12, 16).join('.'), port: bytes.readUInt16BE(udpAt) })
  }
}

/** Instructions of classic BPF, `struct sock_filter`: lets messages of bridges and STUN pass that are for the port. */
function filterOf(port: number): Buffer {
  const instructions: readonly (readonly [code: number, ifTrue: number, ifFalse: number, k: number])[] = [
    // X = length of IP's head
    [0xb1, 0, 0, 0],
    // the port
    [0x48, 0, 0, 2],
    [0x15, 0, 5, port],
    // the beginning of what it carries
    [0x40, 0, 0, 8],
    [0x15, 2, 0, DFB1],
    [0x40, 0, 0, 12],
    [0x15, 0, 1, STUN_COOKIE],
    // pass
    [0x06, 0, 0, 0xffff],
    // drop
    [0x06, 0, 0, 0],
  ]
  const bytes = Buffer.alloc(instructions.length * 8)
  for (const [at, [code, ifTrue, ifFalse, k]] of instructions.entries()) {
    bytes.writeUInt16LE(code, at * 8)
    bytes[at * 8 + 2] = ifTrue
    bytes[at * 8 + 3] = ifFalse
    bytes.writeUInt32LE(k, at * 8 + 4)
  }
  return bytes
}
