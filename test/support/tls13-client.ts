// A small TLS 1.3 client (RFC 8446) that sends what no library sends: any record and any handshake message, any number of times.
// One cipher suite (AES-128-GCM with SHA-256), one group (X25519), no verification, no resumption. For hostile tests only.

import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPublicKey,
  diffieHellman,
} from 'node:crypto'
import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

const Record = { changeCipherSpec: 20, handshake: 22, application: 23 } as const
const Message = { clientHello: 1, serverHello: 2, finished: 20, keyUpdate: 24 } as const
const TAG_BYTES = 16
const SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex')
const EMPTY_HASH = createHash('sha256').digest()
const ZEROS = Buffer.alloc(32)

/** A number of `width` bytes, big-endian. */
function int(value: number, width: number): Buffer {
  const bytes = Buffer.alloc(width)
  bytes.writeUIntBE(value, 0, width)
  return bytes
}

/** The parts behind their common length, which has `width` bytes. */
function vector(width: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  return Buffer.concat([int(content.length, width), content])
}

function extension(type: number, content: Uint8Array): Buffer {
  return Buffer.concat([int(type, 2), vector(2, content)])
}

function hmac(key: Uint8Array, data: Uint8Array): Buffer {
  return createHmac('sha256', key).update(data).digest()
}

/** HKDF-Expand-Label of RFC 8446 §7.1, up to the length of one hash. */
function expand(secret: Uint8Array, label: string, context: Uint8Array, length: number): Buffer {
  const info = Buffer.concat([int(length, 2), vector(1, Buffer.from(`tls13 ${label}`)), vector(1, context)])
  return hmac(secret, Buffer.concat([info, int(1, 1)])).subarray(0, length)
}

/** A complete ClientHello in its record, the first bytes that a client sends. */
export function clientHello(publicKey: Uint8Array): Buffer {
  const extensions = vector(
    2,
    extension(0, vector(2, int(0, 1), vector(2, Buffer.from('localhost')))),
    extension(10, vector(2, int(0x001d, 2))),
    extension(13, vector(2, int(0x0403, 2), int(0x0804, 2), int(0x0807, 2))),
    extension(43, vector(1, int(0x0304, 2))),
    extension(51, vector(2, int(0x001d, 2), vector(2, publicKey))),
  )
  const body = [
    int(0x0303, 2),
    randomBytes(32),
    vector(1, randomBytes(32)),
    vector(2, int(0x1301, 2)),
    vector(1, int(0, 1)),
  ]
  const message = Buffer.concat([int(Message.clientHello, 1), vector(3, ...body, extensions)])
  return Buffer.concat([int(Record.handshake, 1), int(0x0301, 2), vector(2, message)])
}

/** The keys of one direction. */
class Traffic {
  #secret: Buffer
  #key: Buffer
  #iv: Buffer
  #count = 0

  constructor(secret: Buffer) {
    this.#secret = secret
    this.#key = expand(secret, 'key', Buffer.alloc(0), 16)
    this.#iv = expand(secret, 'iv', Buffer.alloc(0), 12)
  }

  next(): Traffic {
    return new Traffic(expand(this.#secret, 'traffic upd', Buffer.alloc(0), 32))
  }

  finished(transcript: Uint8Array): Buffer {
    return hmac(expand(this.#secret, 'finished', Buffer.alloc(0), 32), transcript)
  }

  seal(type: number, content: Uint8Array): Buffer {
    const header = Buffer.concat([
      int(Record.application, 1),
      int(0x0303, 2),
      int(content.length + 1 + TAG_BYTES, 2),
    ])
    const cipher = createCipheriv('aes-128-gcm', this.#key, this.#nonce()).setAAD(header)
    const sealed = cipher.update(Buffer.concat([content, int(type, 1)]))
    return Buffer.concat([header, sealed, cipher.final(), cipher.getAuthTag()])
  }

  /** The content of one record, without type and padding. */
  open(header: Uint8Array, sealed: Buffer): Buffer {
    const decipher = createDecipheriv('aes-128-gcm', this.#key, this.#nonce()).setAAD(header)
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
    const plain = Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()])
    return plain.subarray(
      0,
      plain.findLastIndex((byte) => byte !== 0),
    )
  }

  #nonce(): Buffer {
    const nonce = Buffer.from(this.#iv)
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ this.#count++) >>> 0, 8)
    return nonce
  }
}

export class Tls13Client {
  readonly socket: Socket
  #out: Traffic
  isEnded = false

  private constructor(socket: Socket, out: Traffic) {
    this.socket = socket
    this.#out = out
    for (const event of ['end', 'error', 'close']) socket.on(event, () => (this.isEnded = true))
  }

  /** Connects and makes the handshake. What the server sends after that is ignored. */
  static async connect(port: number): Promise<Tls13Client> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    await once(socket, 'connect')
    const pair = generateKeyPairSync('x25519')
    const publicKey = pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32)
    const hello = clientHello(publicKey)
    socket.write(hello)
    return new Tls13Client(socket, await handshake(socket, hello.subarray(5), pair.privateKey))
  }

  send(bytes: Uint8Array): void {
    this.socket.write(this.#out.seal(Record.application, bytes))
  }

  /** Sends so many KeyUpdate messages in one write, each of which requests one from the server. */
  sendKeyUpdates(count: number): void {
    const records: Buffer[] = []
    for (let i = 0; i < count; i++) {
      records.push(this.#out.seal(Record.handshake, Buffer.from([Message.keyUpdate, 0, 0, 1, 1])))
      this.#out = this.#out.next()
    }
    this.socket.write(Buffer.concat(records))
  }

  /** Sends so many complete records without content. */
  sendEmptyRecords(count: number): void {
    const records = Array.from({ length: count }, () => this.#out.seal(Record.application, Buffer.alloc(0)))
    this.socket.write(Buffer.concat(records))
  }

  reset(): void {
    if (!this.socket.destroyed) this.socket.resetAndDestroy()
  }
}

async function handshake(socket: Socket, hello: Buffer, privateKey: KeyObject): Promise<Traffic> {
  const records = recordsOf(socket)
  const [, serverHello] = await nextRecord(records)
  let transcript = Buffer.concat([hello, serverHello])
  const point = serverShare(serverHello)
  const theirs = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, point]), format: 'der', type: 'spki' })
  const early = hmac(ZEROS, ZEROS)
  const shared = hmac(
    expand(early, 'derived', EMPTY_HASH, 32),
    diffieHellman({ privateKey, publicKey: theirs }),
  )
  const secret = (from: Buffer, label: string): Traffic =>
    new Traffic(expand(from, label, hash(transcript), 32))
  const [client, server] = [secret(shared, 'c hs traffic'), secret(shared, 's hs traffic')]
  let flight = Buffer.alloc(0)
  while (!endsWithFinished(flight)) {
    const [header, body] = await nextRecord(records)
    if (header[0] === Record.application) flight = Buffer.concat([flight, server.open(header, body)])
  }
  transcript = Buffer.concat([transcript, flight])
  const master = hmac(expand(shared, 'derived', EMPTY_HASH, 32), ZEROS)
  const application = secret(master, 'c ap traffic')
  const finished = Buffer.concat([int(Message.finished, 1), vector(3, client.finished(hash(transcript)))])
  socket.write(client.seal(Record.handshake, finished))
  return application
}

function hash(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}

async function* recordsOf(socket: Socket): AsyncGenerator<[Buffer, Buffer], undefined> {
  let received: Buffer = Buffer.alloc(0)
  for (;;) {
    while (received.length >= 5 && received.length >= 5 + received.readUInt16BE(3)) {
      const end = 5 + received.readUInt16BE(3)
      yield [received.subarray(0, 5), received.subarray(5, end)]
      received = received.subarray(end)
    }
    const [chunk] = (await once(socket, 'data', { signal: AbortSignal.timeout(10_000) })) as [Buffer]
    received = Buffer.concat([received, chunk])
  }
}

async function nextRecord(records: AsyncGenerator<[Buffer, Buffer], undefined>): Promise<[Buffer, Buffer]> {
  const { value } = await records.next()
  if (value === undefined) throw new Error('the server has sent no further record')
  return value
}

/** The public key in a ServerHello: the last bytes of the key_share extension. */
function serverShare(message: Buffer): Buffer {
  let at = 4 + 2 + 32
  at += 1 + message.readUInt8(at) + 2 + 1 + 2
  while (at < message.length) {
    const end = at + 4 + message.readUInt16BE(at + 2)
    if (message.readUInt16BE(at) === 51) return message.subarray(end - 32, end)
    at = end
  }
  throw new Error('the ServerHello has no key_share')
}

/** Whether `flight` is complete messages, the last of which is Finished. */
function endsWithFinished(flight: Buffer): boolean {
  let at = 0
  let type = 0
  while (at + 4 <= flight.length) {
    type = flight.readUInt8(at)
    at += 4 + flight.readUIntBE(at + 1, 3)
  }
  return at === flight.length && type === Message.finished
}
