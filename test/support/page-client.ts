// A DERP client for a page in a browser: its own framing and parsing, a portable NaCl box, the browser's WebSocket. The
// page loads it with its types stripped, so it imports only packages that the page can load. It does not use the
// project's client, so that the two test each other.

import { hsalsa, xsalsa20poly1305 } from '@noble/ciphers/salsa.js'
import { x25519 } from '@noble/curves/ed25519.js'

const SERVER_KEY = 1
const CLIENT_INFO = 2
const SERVER_INFO = 3
const SEND_PACKET = 4
const RECV_PACKET = 5
const HEADER_BYTES = 5
const KEY_BYTES = 32
const NONCE_BYTES = 24
const MAGIC_BYTES = 8
const sigma = new Uint32Array(new TextEncoder().encode('expand 32-byte k').buffer)

interface Frame {
  readonly type: number
  readonly payload: Uint8Array
}

/** The connection as the browser reports it. */
export interface ConnectionReport {
  readonly protocol: string
  readonly extensions: string
  readonly serverInfo: string
  readonly publicKey: string
}

/** A packet's source, length and hash, for the test outside the page. */
export interface Digest {
  readonly from: string
  readonly bytes: number
  readonly sha256: string
}

let socket: WebSocket
let publicKey: Uint8Array
let stream = new Uint8Array(0)
let longestMessageBytes = 0
const frames: Frame[] = []
let wake: () => void = () => undefined
let closed: { code: number; wasClean: boolean } | undefined

/** Connects with the subprotocol `derp` and logs in with a fresh key. */
export async function connect(url: string): Promise<ConnectionReport> {
  socket = new WebSocket(url, 'derp')
  socket.binaryType = 'arraybuffer'
  socket.addEventListener('message', (event) => onMessage(new Uint8Array(event.data as ArrayBuffer)))
  socket.addEventListener('close', ({ code, wasClean }) => {
    closed = { code, wasClean }
    wake()
  })
  const serverKey = (await nextFrame(SERVER_KEY)).subarray(MAGIC_BYTES, MAGIC_BYTES + KEY_BYTES)
  const privateKey = crypto.getRandomValues(new Uint8Array(KEY_BYTES))
  publicKey = x25519.getPublicKey(privateKey)
  const boxKey = agree(privateKey, serverKey)
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_BYTES))
  const info = new TextEncoder().encode('{"version":2,"CanAckPings":false}')
  socket.send(frame(CLIENT_INFO, publicKey, nonce, xsalsa20poly1305(boxKey, nonce).encrypt(info)))
  const sealed = await nextFrame(SERVER_INFO)
  const cipher = xsalsa20poly1305(boxKey, sealed.subarray(0, NONCE_BYTES))
  const serverInfo = new TextDecoder().decode(cipher.decrypt(sealed.subarray(NONCE_BYTES)))
  return { protocol: socket.protocol, extensions: socket.extensions, serverInfo, publicKey: hex(publicKey) }
}

/**
 * Sends packets of random bytes to a key. The stream is split into messages of the given lengths, which repeat.
 */
export async function send(to: string, lengths: number[], messageLengths: number[]): Promise<Digest[]> {
  const packets = lengths.map((bytes) => crypto.getRandomValues(new Uint8Array(bytes)))
  const bytes = concat(...packets.map((packet) => frame(SEND_PACKET, unhex(to), packet)))
  let at = 0
  for (let i = 0; at < bytes.length; i++) {
    const end = Math.min(bytes.length, at + (messageLengths[i % messageLengths.length] ?? 1))
    socket.send(bytes.subarray(at, end))
    at = end
  }
  return await Promise.all(packets.map((packet) => digest(publicKey, packet)))
}

/** Waits for the next packets. */
export async function receive(count: number): Promise<Digest[]> {
  const digests: Digest[] = []
  while (digests.length < count) {
    const payload = await nextFrame(RECV_PACKET)
    digests.push(await digest(payload.subarray(0, KEY_BYTES), payload.subarray(KEY_BYTES)))
  }
  return digests
}

/** The longest message received so far. */
export function longestMessage(): number {
  return longestMessageBytes
}

export function close(): void {
  socket.close(1000)
}

/** Waits for the end of the connection. */
export async function ended(): Promise<{ code: number; wasClean: boolean }> {
  while (closed === undefined) await nextEvent()
  return closed
}

function onMessage(message: Uint8Array): void {
  longestMessageBytes = Math.max(longestMessageBytes, message.length)
  stream = concat(stream, message)
  while (stream.length >= HEADER_BYTES) {
    const end = HEADER_BYTES + new DataView(stream.buffer, stream.byteOffset).getUint32(1)
    if (stream.length < end) break
    frames.push({ type: stream[0] ?? 0, payload: stream.slice(HEADER_BYTES, end) })
    stream = stream.slice(end)
  }
  wake()
}

/** The payload of the next frame, which has to be of this type. */
async function nextFrame(type: number): Promise<Uint8Array> {
  for (;;) {
    const next = frames.shift()
    if (next?.type === type) return next.payload
    if (next !== undefined) throw new Error(`expected a frame of type ${type}, got one of type ${next.type}`)
    if (closed !== undefined) throw new Error(`the connection ended with ${closed.code}`)
    await nextEvent()
  }
}

function nextEvent(): Promise<void> {
  return new Promise((resolve) => {
    wake = resolve
  })
}

function agree(privateKey: Uint8Array, theirs: Uint8Array): Uint8Array {
  const shared = new Uint32Array(x25519.getSharedSecret(privateKey, theirs).slice().buffer)
  const key = new Uint32Array(KEY_BYTES / 4)
  hsalsa(sigma, shared, new Uint32Array(4), key)
  return new Uint8Array(key.buffer)
}

function frame(type: number, ...payload: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(HEADER_BYTES)
  header[0] = type
  new DataView(header.buffer).setUint32(
    1,
    payload.reduce((sum, part) => sum + part.length, 0),
  )
  return concat(header, ...payload)
}

function concat(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

async function digest(from: Uint8Array, packet: Uint8Array): Promise<Digest> {
  const sha256 = new Uint8Array(await crypto.subtle.digest('SHA-256', packet.slice()))
  return { from: hex(from), bytes: packet.length, sha256: hex(sha256) }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

function unhex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16))
}
