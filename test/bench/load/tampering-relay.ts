// A relay that tampers with packets: a proxy in front of a real relay changes, repeats, reorders or drops the packets
// that the relay delivers. Shows that the load generator detects it.

import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

const RECV_PACKET = 5
const HEADER_BYTES = 5
const HEAD_END = '\r\n\r\n'

/** Returns the frames that the client receives in place of the nth packet of its connection. */
export type Tampering = (frame: Buffer, n: number) => readonly Buffer[]

/** Forwards plain TCP between clients and the relay on a port; each connection has its own tampering. */
export class TamperingRelay implements AsyncDisposable {
  readonly port: number
  readonly #server: Server
  readonly #sockets: Set<Socket>

  private constructor(server: Server, port: number, sockets: Set<Socket>) {
    this.#server = server
    this.port = port
    this.#sockets = sockets
  }

  static async start(relayPort: number, forConnection: () => Tampering): Promise<TamperingRelay> {
    const sockets = new Set<Socket>()
    const server = createServer((client) => {
      const relay = connect(relayPort, '127.0.0.1')
      for (const socket of [client, relay]) sockets.add(socket.on('error', () => undefined))
      client.pipe(relay)
      relay.on('data', forward(client, forConnection())).on('end', () => client.end())
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('a TCP listener has no port')
    return new TamperingRelay(server, address.port, sockets)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** Splits the relay's bytes into frames and writes what the tampering returns for each packet. */
function forward(client: Socket, tampering: Tampering): (bytes: Buffer) => void {
  let rest = Buffer.alloc(0)
  let isHeadPassed = false
  let packets = 0
  return (bytes) => {
    rest = Buffer.concat([rest, bytes])
    if (!isHeadPassed) {
      const headEnd = rest.indexOf(HEAD_END)
      if (headEnd < 0) return
      client.write(rest.subarray(0, headEnd + HEAD_END.length))
      rest = rest.subarray(headEnd + HEAD_END.length)
      isHeadPassed = true
    }
    for (;;) {
      const length = rest.length < HEADER_BYTES ? Infinity : HEADER_BYTES + rest.readUInt32BE(1)
      if (rest.length < length) return
      const frame = Buffer.from(rest.subarray(0, length))
      rest = rest.subarray(length)
      const frames = frame[0] === RECV_PACKET ? tampering(frame, packets++) : [frame]
      for (const each of frames) client.write(each)
    }
  }
}
