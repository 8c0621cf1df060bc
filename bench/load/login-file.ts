// The file of prepared logins for the generator: public keys of new clients, each with a ClientInfo frame sealed for
// one server. It is written in TypeScript because X25519 and the NaCl box exist here already. Its layout is in
// generator/login-file.h.

import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { DerpConnection } from '#client/derp-connection.ts'
import { BoxSecret } from '#protocol/box.ts'
import { FrameType } from '#protocol/frame-type.ts'
import { clientInfoFrame, readServerKey } from '#protocol/handshake.ts'
import { KEY_BYTES, NONCE_BYTES } from '#protocol/limits.ts'
import { toHex } from '#protocol/bytes.ts'
import { keyPairFrom } from '#protocol/node-key.ts'

const MAGIC = Buffer.from('DERPLOG1')
const RECORD_BYTES = 256
const FRAME_AT = KEY_BYTES + 2

/** A server's IPv4 address and port, and whether it uses plain TCP. */
export interface Address {
  readonly host: string
  readonly port: number
  readonly isPlain: boolean
}

/** The public key of a server, 32 bytes, from its ServerKey frame. @throws DerpConnectError if there is no server */
export async function serverKeyAt(address: Address): Promise<Uint8Array> {
  const found = Promise.withResolvers<Uint8Array>()
  const connection = new DerpConnection(
    {
      host: address.host,
      port: address.port,
      tls: address.isPlain ? false : { isInsecure: true, servername: 'localhost' },
      way: 'upgrade',
    },
    {
      onFrame: (type, buffer, start, end) => {
        const key = type === FrameType.serverKey ? readServerKey(buffer.subarray(start, end)) : undefined
        if (key !== undefined) found.resolve(key)
      },
      onClosed: (end) =>
        found.reject(new Error(`port ${address.port}: connection closed before ServerKey: ${end.message}`)),
    },
  )
  await connection.open()
  try {
    return await found.promise
  } finally {
    connection.destroy()
  }
}

/** The private keys of so many new clients. */
export function newClients(count: number): Buffer[] {
  return Array.from({ length: count }, () => {
    const { d = '' } = generateKeyPairSync('x25519').privateKey.export({ format: 'jwk' })
    return Buffer.from(d, 'base64url')
  })
}

/** The content of a login file for these clients of the server with that key. */
export function loginFile(serverKey: Uint8Array, clients: readonly Uint8Array[]): Buffer {
  const file = Buffer.alloc(MAGIC.length + KEY_BYTES + clients.length * RECORD_BYTES)
  file.set(MAGIC)
  file.set(serverKey, MAGIC.length)
  for (const [i, privateKey] of clients.entries()) {
    const at = MAGIC.length + KEY_BYTES + i * RECORD_BYTES
    const { publicKey, frame } = login(serverKey, privateKey)
    file.set(publicKey, at)
    file.writeUInt16BE(frame.length, at + KEY_BYTES)
    file.set(frame, at + FRAME_AT)
  }
  return file
}

function login(serverKey: Uint8Array, privateKey: Uint8Array): { publicKey: Uint8Array; frame: Uint8Array } {
  const { publicKey } = keyPairFrom(privateKey)
  const box = new BoxSecret(privateKey).agree(serverKey)
  if (box === undefined) throw new Error(`the server's key ${toHex(serverKey)} is of low order`)
  const frame = clientInfoFrame(publicKey, { canAckPings: true }, box, randomBytes(NONCE_BYTES))
  return { publicKey, frame }
}

/** Parses HOST:PORT. @throws Error that says what was expected */
export function parseAddress(text: string, isPlain: boolean): Address {
  const [, host, port] = /^([\d.]+):(\d+)$/.exec(text) ?? []
  if (host === undefined || port === undefined) {
    throw new Error(`${text}: expected an IPv4 address, a colon and a port`)
  }
  return { host, port: Number(port), isPlain }
}

if (import.meta.main) {
  const [address, count, path, mode] = process.argv.slice(2)
  if (address === undefined || count === undefined || path === undefined) {
    process.stderr.write('usage: login-file.ts HOST:PORT COUNT FILE [plain]\n')
    process.exitCode = 2
  } else {
    const key = await serverKeyAt(parseAddress(address, mode === 'plain'))
    await writeFile(path, loginFile(key, newClients(Number(count))))
    process.stdout.write(`${count} logins for the server ${toHex(key)} in ${path}\n`)
  }
}
