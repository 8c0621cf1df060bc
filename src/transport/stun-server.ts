// STUN over UDP: one answer per valid request, sent from the address to which the request was sent. A socket on the wildcard
// address answers from whichever address the system chooses, which clients and their firewalls do not accept. So each address of
// the host has a socket of its own, including addresses that are added later. The wildcard socket serves the rest: an address
// that was added a moment ago, and one that is routed here but belongs to no interface. Runs on the STUN thread, so that a flood
// of STUN does not slow the relay, and a busy relay does not slow STUN.

import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from 'node:dgram'
import { isIPv4, isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { lookupLiteral } from '#protocol/literal-lookup.ts'
import { ipToBytes, isMappedIpv4 } from '#protocol/ip-address.ts'
import { isBindingRequest, STUN_ANSWER_BYTES_MAX, writeBindingAnswer } from '#protocol/stun.ts'

/** Requests arrive in bursts when many clients measure at once; the kernel buffers them. */
const RECEIVE_BUFFER_BYTES = 1_048_576
/** Answers per socket that the kernel has not yet taken. Any more would be late, and are dropped. */
const UNSENT_ANSWERS_MAX = 1_024
/** More than hosts have. The wildcard socket serves any more. */
const ADDRESSES_MAX = 256

const NUMBERS = ['successIpv4', 'successIpv6', 'notStun', 'readErrors', 'writeErrors'] as const
const SWEEPS_AT = NUMBERS.length
export type StunNumbers = Record<(typeof NUMBERS)[number], number>

/** Counters of the STUN thread, in memory that the control thread reads. */
export class StunCounters {
  readonly #values: Float64Array

  constructor(memory: SharedArrayBuffer) {
    this.#values = new Float64Array(memory)
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer((SWEEPS_AT + 1) * Float64Array.BYTES_PER_ELEMENT)
  }

  /** The thread's timer has fired: the thread does not hang. */
  countSweep(): void {
    this.#values[SWEEPS_AT] = this.sweeps + 1
  }

  get sweeps(): number {
    return this.#values[SWEEPS_AT] as number
  }

  count(name: keyof StunNumbers): void {
    const at = NUMBERS.indexOf(name)
    this.#values[at] = (this.#values[at] as number) + 1
  }

  read(): StunNumbers {
    return Object.fromEntries(NUMBERS.map((name, at) => [name, this.#values[at] as number])) as StunNumbers
  }
}

interface SocketAddress {
  /** An IP literal; `::` serves both families. */
  readonly host: string
  readonly port: number
}

export interface StunServerParts extends SocketAddress {
  /** Sockets that are bound already, by the host that each is bound to; empty: the server makes its own. */
  readonly inherited?: readonly { readonly descriptor: number; readonly host: string }[]
  /** A request from this address, sixteen bytes, is answered. */
  readonly onAnswered?: (ip: Uint8Array) => void
}

/** The socket of one address, or of the wildcard address. */
class StunSocket {
  readonly #server: StunServer
  readonly #counters: StunCounters
  readonly #socket: Socket
  readonly #freeBuffers: AnswerBuffer[] = []
  /** Answers that the kernel has not yet taken. */
  #unsent = 0

  constructor(server: StunServer, counters: StunCounters, options: SocketOptions) {
    this.#server = server
    this.#counters = counters
    this.#socket = createSocket({ ...options, recvBufferSize: RECEIVE_BUFFER_BYTES, lookup: lookupLiteral })
    this.#socket.on('message', (message, remote) => this.#onMessage(message, remote))
  }

  /** @param at an address, or the descriptor of a socket that is bound already */
  async bind(at: SocketAddress | number): Promise<number> {
    const options = typeof at === 'number' ? { fd: at } : { address: at.host, port: at.port }
    await new Promise<void>((resolve, reject) => {
      this.#socket.once('error', reject)
      this.#socket.bind({ ...options, exclusive: true }, () => {
        this.#socket.off('error', reject)
        resolve()
      })
    })
    this.#socket.on('error', () => this.#counters.count('readErrors'))
    return this.#socket.address().port
  }

  close(): void {
    this.#socket.close()
  }

  #onMessage(message: Buffer, remote: RemoteInfo): void {
    if (!isBindingRequest(message)) return this.#counters.count('notStun')
    if (!this.#server.isAnswering) return
    if (this.#unsent === UNSENT_ANSWERS_MAX) return this.#counters.count('writeErrors')
    this.#unsent++
    // A dual-stack socket reports IPv4 senders in mapped form, which the sixteen bytes are in anyway.
    const ip = ipToBytes(remote.address)
    const answer = this.#freeBuffers.pop() ?? new AnswerBuffer(this.#onSent)
    answer.isIpv4 = isMappedIpv4(ip)
    this.#server.onAnswered?.(ip)
    const byteCount = writeBindingAnswer(answer.bytes, message, ip, remote.port)
    this.#socket.send(answer.bytes, 0, byteCount, remote.port, remote.address, answer.onSent)
  }

  readonly #onSent = (answer: AnswerBuffer, error: Error | null): void => {
    this.#unsent--
    this.#freeBuffers.push(answer)
    if (error !== null) this.#counters.count('writeErrors')
    else this.#counters.count(answer.isIpv4 ? 'successIpv4' : 'successIpv6')
  }
}

/** The bytes of one answer. They must not change until the kernel has taken them, which is later if its buffers are full. */
class AnswerBuffer {
  readonly bytes = Buffer.alloc(STUN_ANSWER_BYTES_MAX)
  readonly onSent: (error: Error | null) => void
  isIpv4 = false

  constructor(onSent: (answer: AnswerBuffer, error: Error | null) => void) {
    this.onSent = (error) => onSent(this, error)
  }
}

export class StunServer {
  readonly #counters: StunCounters
  readonly #parts: StunServerParts
  /** One on the host of the settings, or the inherited ones. */
  readonly #sockets: StunSocket[] = []
  readonly #byAddress = new Map<string, StunSocket>()
  readonly onAnswered: StunServerParts['onAnswered']
  #port = 0
  #isClosed = false
  /** False: requests are not answered, because the relay's DERP side is not healthy. */
  isAnswering = true

  constructor(parts: StunServerParts, counters: StunCounters) {
    this.#parts = parts
    this.#counters = counters
    this.onAnswered = parts.onAnswered
  }

  async listen(): Promise<number> {
    const { host, port, inherited = [] } = this.#parts
    if (inherited.length === 0) await this.#listenOn(host, { host, port })
    for (const { descriptor, host } of inherited) await this.#listenOn(host, descriptor)
    await this.updateAddresses()
    return this.#port
  }

  async #listenOn(host: string, at: SocketAddress | number): Promise<void> {
    const socket = new StunSocket(this, this.#counters, socketOptions(host))
    this.#sockets.push(socket)
    this.#port = await socket.bind(at)
  }

  /** Opens and closes sockets as addresses of the host are added and removed; to be called every few seconds. */
  async updateAddresses(): Promise<void> {
    if (!this.#servesAddresses) return
    const addresses = new Set(this.#localAddresses())
    for (const [address, socket] of this.#byAddress) {
      if (addresses.has(address)) continue
      socket.close()
      this.#byAddress.delete(address)
    }
    await Promise.all(Array.from(addresses, async (address) => await this.#serve(address)))
  }

  close(): void {
    this.#isClosed = true
    for (const socket of [...this.#sockets, ...this.#byAddress.values()]) socket.close()
    this.#byAddress.clear()
  }

  /** An address that cannot be bound yet (the system may still check it for duplicates) is tried again at the next update. */
  async #serve(address: string): Promise<void> {
    if (this.#byAddress.has(address)) return
    const socket = new StunSocket(this, this.#counters, socketOptions(address))
    this.#byAddress.set(address, socket)
    try {
      await socket.bind({ host: address, port: this.#port })
    } catch {
      if (this.#isClosed) return
      this.#byAddress.delete(address)
      socket.close()
    }
  }

  /** Inherited sockets are those that the service manager was told to open; the port may be closed to others. */
  get #servesAddresses(): boolean {
    const { host, inherited = [] } = this.#parts
    return inherited.length === 0 && (host === '::' || host === '0.0.0.0')
  }

  /** Link-local addresses are left to the wildcard socket: there an answer leaves by the interface of its request. */
  #localAddresses(): readonly string[] {
    return Object.values(networkInterfaces())
      .flatMap((interfaces) => interfaces ?? [])
      .filter((entry) => entry.family === 'IPv4' || (isIPv6(this.#parts.host) && entry.scopeid === 0))
      .map(({ address }) => address)
      .slice(0, ADDRESSES_MAX)
  }
}

/**
 * Several sockets share the port: those of one relay, and of two runs of it while the older one hands over. The system lets
 * only this user do so: nobody else can take datagrams.
 */
function socketOptions(host: string): SocketOptions {
  return { type: isIPv4(host) ? 'udp4' : 'udp6', reusePort: true }
}
