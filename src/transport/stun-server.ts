// STUN over UDP: one answer per valid request, from the address that was asked. A socket that serves every address of
// the host answers from whichever the system likes, which clients and their firewalls take for a stranger's; so there is
// one socket for each address as well, those that come later included, and the one for all serves what is left: an
// address that has just come, or that is routed here without being an interface's. Runs in a thread of its own so that
// neither floods nor saturation of the relay reach the other.

import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from 'node:dgram'
import { isIPv4, isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { ipToBytes, isMappedIpv4 } from '#protocol/ip-address.ts'
import { isBindingRequest, STUN_ANSWER_BYTES_MAX, writeBindingAnswer } from '#protocol/stun.ts'

/** Requests come in bursts when many clients measure at once; the kernel holds some for us. */
const RECEIVE_BUFFER_BYTES = 1_048_576
/** Answers that wait for the kernel, of each socket: what exceeds it would be late, and is lost. */
const ANSWERS_WAITING_MAX = 1_024
/** More than hosts have; the rest of a host with more is served by the socket for all. */
const ADDRESSES_MAX = 256

const NUMBERS = ['successIpv4', 'successIpv6', 'notStun', 'readErrors', 'writeErrors'] as const
const BEATS_AT = NUMBERS.length
export type StunNumbers = Record<(typeof NUMBERS)[number], number>

/** What the STUN thread counts, in memory that the control thread reads. */
export class StunCounters {
  readonly #values: Float64Array

  constructor(memory: SharedArrayBuffer) {
    this.#values = new Float64Array(memory)
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer((BEATS_AT + 1) * Float64Array.BYTES_PER_ELEMENT)
  }

  /** The thread came to its timers. */
  beat(): void {
    this.#values[BEATS_AT] = this.beats + 1
  }

  get beats(): number {
    return this.#values[BEATS_AT] as number
  }

  count(name: keyof StunNumbers): void {
    const at = NUMBERS.indexOf(name)
    this.#values[at] = (this.#values[at] as number) + 1
  }

  read(): StunNumbers {
    return Object.fromEntries(NUMBERS.map((name, at) => [name, this.#values[at] as number])) as StunNumbers
  }
}

interface Place {
  readonly host: string
  readonly port: number
}

/** Answers on one address, or on all. */
class StunSocket {
  readonly #server: StunServer
  readonly #counters: StunCounters
  readonly #socket: Socket
  readonly #free: Answer[] = []
  #waiting = 0

  constructor(server: StunServer, counters: StunCounters, options: SocketOptions) {
    this.#server = server
    this.#counters = counters
    this.#socket = createSocket({ ...options, recvBufferSize: RECEIVE_BUFFER_BYTES, lookup: asItIs })
    this.#socket.on('message', (message, remote) => this.#onMessage(message, remote))
  }

  async bind({ host, port }: Place): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#socket.once('error', reject)
      this.#socket.bind({ address: host, port, exclusive: true }, () => {
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
    if (this.#waiting === ANSWERS_WAITING_MAX) return this.#counters.count('writeErrors')
    this.#waiting++
    // A dual-stack socket names IPv4 senders in mapped form, which is what the sixteen bytes are anyway.
    const ip = ipToBytes(remote.address)
    const answer = this.#free.pop() ?? new Answer(this.#onSent)
    answer.isIpv4 = isMappedIpv4(ip)
    const byteCount = writeBindingAnswer(answer.bytes, message, ip, remote.port)
    this.#socket.send(answer.bytes, 0, byteCount, remote.port, remote.address, answer.onSent)
  }

  readonly #onSent = (answer: Answer, error: Error | null): void => {
    this.#waiting--
    this.#free.push(answer)
    if (error !== null) this.#counters.count('writeErrors')
    else this.#counters.count(answer.isIpv4 ? 'successIpv4' : 'successIpv6')
  }
}

/** Bytes that are the kernel's from being sent until it says so: with its buffers full, that is later. */
class Answer {
  readonly bytes = Buffer.alloc(STUN_ANSWER_BYTES_MAX)
  readonly onSent: (error: Error | null) => void
  isIpv4 = false

  constructor(onSent: (answer: Answer, error: Error | null) => void) {
    this.onSent = (error) => onSent(this, error)
  }
}

export class StunServer {
  readonly #counters: StunCounters
  readonly #host: string
  readonly #all: StunSocket
  readonly #byAddress = new Map<string, StunSocket>()
  #port = 0
  #isClosed = false
  /** False: requests go unanswered, because the relay beside is not well. */
  isAnswering = true

  /** @param host an IP literal; `::` serves both families */
  constructor(host: string, counters: StunCounters) {
    this.#host = host
    this.#counters = counters
    this.#all = new StunSocket(this, counters, socketOptions(host, this.#isEveryAddress))
  }

  async listen(endpoint: Place): Promise<number> {
    this.#port = await this.#all.bind(endpoint)
    await this.look()
    return this.#port
  }

  /** To be called every few seconds: addresses come and go. */
  async look(): Promise<void> {
    if (!this.#isEveryAddress) return
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
    this.#all.close()
    for (const socket of this.#byAddress.values()) socket.close()
    this.#byAddress.clear()
  }

  /** An address that can't be had (it is being checked for a duplicate, for one) is tried again at the next look. */
  async #serve(address: string): Promise<void> {
    if (this.#byAddress.has(address)) return
    const socket = new StunSocket(this, this.#counters, socketOptions(address, true))
    this.#byAddress.set(address, socket)
    try {
      await socket.bind({ host: address, port: this.#port })
    } catch {
      if (this.#isClosed) return
      this.#byAddress.delete(address)
      socket.close()
    }
  }

  get #isEveryAddress(): boolean {
    return this.#host === '::' || this.#host === '0.0.0.0'
  }

  /** Link-local ones are left to the socket for all: an answer leaves by the interface that it is for. */
  #localAddresses(): readonly string[] {
    return Object.values(networkInterfaces())
      .flatMap((interfaces) => interfaces ?? [])
      .filter((one) => one.family === 'IPv4' || (isIPv6(this.#host) && one.scopeid === 0))
      .map(({ address }) => address)
      .slice(0, ADDRESSES_MAX)
  }
}

/** Sockets on one port beside each other belong to one user: nobody else can join, nor take datagrams from them. */
function socketOptions(host: string, isShared: boolean): SocketOptions {
  return { type: isIPv4(host) ? 'udp4' : 'udp6', reusePort: isShared }
}

/** Answers go to the address a request came from: there is no name to look up, and no turn to lose by it. */
function asItIs(
  address: string,
  _options: unknown,
  found: (error: null, address: string, family: number) => void,
): void {
  found(null, address, isIPv6(address) ? 6 : 4)
}
