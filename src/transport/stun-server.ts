// The UDP loop around STUN: one socket, one answer per valid request, from a buffer that is used again and
// again. Runs in a thread of its own so that neither floods nor saturation of the relay reach the other.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { ipToBytes, isMappedIpv4 } from '#protocol/ip-address.ts'
import { isBindingRequest, STUN_ANSWER_BYTES_MAX, writeBindingAnswer } from '#protocol/stun.ts'

/** Requests come in bursts when many clients measure at once; the kernel holds some for us. */
const RECEIVE_BUFFER_BYTES = 1_048_576

const NUMBERS = ['successIpv4', 'successIpv6', 'notStun', 'readErrors', 'writeErrors'] as const
export type StunNumbers = Record<(typeof NUMBERS)[number], number>

/** What the STUN thread counts, in memory that the control thread reads. */
export class StunCounters {
  readonly #values: Float64Array

  constructor(memory: SharedArrayBuffer) {
    this.#values = new Float64Array(memory)
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(NUMBERS.length * Float64Array.BYTES_PER_ELEMENT)
  }

  count(name: keyof StunNumbers): void {
    const at = NUMBERS.indexOf(name)
    this.#values[at] = (this.#values[at] as number) + 1
  }

  read(): StunNumbers {
    return Object.fromEntries(NUMBERS.map((name, at) => [name, this.#values[at] as number])) as StunNumbers
  }
}

export class StunServer {
  readonly #counters: StunCounters
  readonly #socket: Socket
  readonly #answer = Buffer.alloc(STUN_ANSWER_BYTES_MAX)
  /** False: requests go unanswered, because the relay beside is not well. */
  isAnswering = true

  /** @param host an IP literal; `::` serves both families */
  constructor(host: string, counters: StunCounters) {
    this.#counters = counters
    this.#socket = createSocket({
      type: isIPv6(host) ? 'udp6' : 'udp4',
      recvBufferSize: RECEIVE_BUFFER_BYTES,
      lookup: asItIs,
    })
    this.#socket.on('message', (message, remote) => this.#onMessage(message, remote))
  }

  async listen(endpoint: { host: string; port: number }): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#socket.once('error', reject)
      this.#socket.bind({ address: endpoint.host, port: endpoint.port, exclusive: true }, () => {
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
    if (!this.isAnswering) return
    // A dual-stack socket names IPv4 senders in mapped form, which is what the sixteen bytes are anyway.
    const ip = ipToBytes(remote.address)
    const answerBytes = writeBindingAnswer(this.#answer, message, ip, remote.port)
    const onSent = isMappedIpv4(ip) ? this.#onSentIpv4 : this.#onSentIpv6
    // The datagram is copied to the kernel before `send` returns unless the socket is full, when it is lost.
    this.#socket.send(this.#answer, 0, answerBytes, remote.port, remote.address, onSent)
  }

  readonly #onSentIpv4 = (error: Error | null): void => {
    this.#counters.count(error === null ? 'successIpv4' : 'writeErrors')
  }

  readonly #onSentIpv6 = (error: Error | null): void => {
    this.#counters.count(error === null ? 'successIpv6' : 'writeErrors')
  }
}

/** Answers go to the address a request came from: there is no name to look up, and no turn to lose by it. */
function asItIs(
  address: string,
  _options: unknown,
  found: (error: null, address: string, family: number) => void,
): void {
  found(null, address, isIPv6(address) ? 6 : 4)
}
