// A name server on loopback with the A, AAAA and SRV records that a test sets. Implements only as much of DNS (RFC
// 1035) as a resolver needs.

import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { ipToBytes } from '#protocol/ip-address.ts'

const TYPES = { 1: 'A', 28: 'AAAA', 33: 'SRV' } as const
const SERVER_FAILURE = 2
const NO_SUCH_NAME = 3

export class DnsServer implements AsyncDisposable {
  /** Records by name: IPv4 and IPv6 addresses, or `host:port` for SRV. */
  readonly records = new Map<string, readonly string[]>()
  isFailing = false
  /** Queries for these types of records fail. */
  readonly failingTypes = new Set<'A' | 'AAAA' | 'SRV'>()
  queryCount = 0
  readonly #socket: Socket

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('message', (query, { port, address }) => socket.send(this.#response(query), port, address))
  }

  static async start(): Promise<DnsServer> {
    const socket = createSocket('udp4')
    socket.bind(0, '127.0.0.1')
    await once(socket, 'listening')
    return new DnsServer(socket)
  }

  /** The address in the format of a resolver's `setServers`. */
  get address(): string {
    const { address, port }: AddressInfo = this.#socket.address()
    return `${address}:${port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => void this.#socket.close(resolve))
  }

  #response(query: Buffer): Buffer {
    const labels: string[] = []
    let at = 12
    for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length))
      at += 1 + length
    }
    this.queryCount++
    const type = TYPES[query.readUInt16BE(at + 1) as keyof typeof TYPES]
    const isFailing = this.isFailing || this.failingTypes.has(type)
    const known = this.records.get(labels.join('.'))
    const data = (known ?? []).flatMap((record) => recordData(type, record))
    const header = Buffer.from(query.subarray(0, 12))
    const code = isFailing ? SERVER_FAILURE : known === undefined ? NO_SUCH_NAME : 0
    header.writeUInt16BE(0x8180 | code, 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(isFailing ? 0 : data.length, 6)
    header.fill(0, 8, 12)
    const question = query.subarray(12, at + 5)
    const answers = data.map((bytes) => {
      const head = Buffer.alloc(12)
      head.writeUInt16BE(0xc00c, 0)
      question.copy(head, 2, question.length - 4)
      head.writeUInt32BE(1, 6)
      head.writeUInt16BE(bytes.length, 10)
      return Buffer.concat([head, bytes])
    })
    return Buffer.concat([header, question, ...(this.isFailing ? [] : answers)])
  }
}

function recordData(type: string | undefined, record: string): Buffer[] {
  const srv = /^([a-z.]+):(\d+)$/.exec(record)
  if (type === 'SRV' && srv !== null) {
    const labels = (srv[1] ?? '')
      .split('.')
      .map((label) => Buffer.from([label.length, ...Buffer.from(label)]))
    const head = Buffer.alloc(6)
    head.writeUInt16BE(Number(srv[2]), 4)
    return [Buffer.concat([head, ...labels, Buffer.alloc(1)])]
  }
  if (srv !== null) return []
  const ip = ipToBytes(record)
  if (type === 'A' && !record.includes(':')) return [Buffer.from(ip.subarray(12))]
  return type === 'AAAA' && record.includes(':') ? [Buffer.from(ip)] : []
}
