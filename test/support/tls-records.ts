// A TLS 1.3 client that can also send what no TLS library sends: any record, any number of times. The library makes the handshake
// and reports the secret; from then on records are encrypted here.

import { createCipheriv, createHmac, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { connect, type TLSSocket } from 'node:tls'

/** RFC 8446 §5.1, §4. */
export const RecordType = { alert: 21, handshake: 22, data: 23 } as const
const KEY_UPDATE = 24
const SUITE = 'TLS_AES_128_GCM_SHA256'

/** Application data for which nobody has a key, of a length that fits every cipher. */
export function unreadableRecord(): Buffer {
  return Buffer.concat([Buffer.from('1703030040', 'hex'), randomBytes(64)])
}

export class RecordClient {
  readonly tcp: Socket
  readonly tls: TLSSocket
  #secret: Buffer
  #key: Buffer = Buffer.alloc(0)
  #iv: Buffer = Buffer.alloc(0)
  #sequence = 0

  private constructor(tcp: Socket, tls: TLSSocket, secret: Buffer) {
    this.tcp = tcp
    this.tls = tls
    this.#secret = secret
    this.#deriveKeys()
  }

  /** @param tcp connected to a TLS 1.3 server */
  static async over(tcp: Socket): Promise<RecordClient> {
    const pipe = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => void tcp.write(chunk, () => done()),
    })
    tcp.on('data', (chunk: Buffer) => pipe.push(chunk))
    tcp.on('error', () => undefined)
    const tls = connect({ socket: pipe, rejectUnauthorized: false, ciphers: SUITE, minVersion: 'TLSv1.3' })
    tls.on('error', () => undefined)
    let secret: Buffer | undefined
    tls.on('keylog', (line: Buffer) => {
      const [label, , value = ''] = line.toString().trim().split(' ')
      if (label === 'CLIENT_TRAFFIC_SECRET_0') secret = Buffer.from(value, 'hex')
    })
    await once(tls, 'secureConnect')
    if (secret === undefined) throw new Error('TLS reported no secret')
    return new RecordClient(tcp, tls, secret)
  }

  get isClosed(): boolean {
    return this.tcp.destroyed || this.tcp.readableEnded
  }

  /** Sends so many key updates in one write. */
  sendKeyUpdates(count: number, isAnswerRequested: boolean): void {
    const content = Buffer.from([KEY_UPDATE, 0, 0, 1, isAnswerRequested ? 1 : 0])
    const records = Array.from({ length: count }, () => {
      const record = this.seal(RecordType.handshake, content)
      this.#secret = expandLabel(this.#secret, 'traffic upd', 32)
      this.#deriveKeys()
      return record
    })
    this.tcp.write(Buffer.concat(records))
  }

  /** The next record; it must be sent, since it has used a sequence number. */
  seal(type: number, content: Uint8Array): Buffer {
    const inner = Buffer.concat([content, Buffer.of(type)])
    const header = Buffer.from([RecordType.data, 3, 3, 0, 0])
    header.writeUInt16BE(inner.length + 16, 3)
    const nonce = Buffer.from(this.#iv)
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ this.#sequence++) >>> 0, 8)
    const cipher = createCipheriv('aes-128-gcm', this.#key, nonce).setAAD(header)
    return Buffer.concat([header, cipher.update(inner), cipher.final(), cipher.getAuthTag()])
  }

  #deriveKeys(): void {
    this.#key = expandLabel(this.#secret, 'key', 16)
    this.#iv = expandLabel(this.#secret, 'iv', 12)
    this.#sequence = 0
  }
}

/** HKDF-Expand-Label of RFC 8446 §7.1, up to 32 bytes. */
function expandLabel(secret: Buffer, label: string, bytes: number): Buffer {
  const name = Buffer.from(`tls13 ${label}`)
  const info = Buffer.concat([Buffer.from([0, bytes, name.length]), name, Buffer.from([0, 1])])
  return createHmac('sha256', secret).update(info).digest().subarray(0, bytes)
}
