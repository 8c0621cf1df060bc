// WireGuard's handshake, Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s without a preshared key, from both sides, and the keys that come
// of it. Pure: randomness and time are passed in. Who may shake hands, and how often, is registrar.ts's matter.

import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { KEY_BYTES } from '#protocol/limits.ts'
import { X25519Secret } from '#protocol/x25519.ts'
import { blake2s, hmacBlake2s } from './blake2s.ts'
import { INITIATION_BYTES, MessageType, RESPONSE_BYTES, RESPONSE_RECEIVER_AT, SENDER_AT } from './messages.ts'

const CONSTRUCTION = blake2s(Buffer.from('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s'))
const START_HASH = blake2s(CONSTRUCTION, Buffer.from('WireGuard v1 zx2c4 Jason@zx2c4.com'))
const NO_PRESHARED_KEY = new Uint8Array(KEY_BYTES)
const NOTHING = new Uint8Array(0)
const TAG_BYTES = 16
export const TIMESTAMP_BYTES = 12

// Where the fields of both messages lie.
const EPHEMERAL_AT = 8
const STATIC_AT = 40
const TIMESTAMP_AT = 88
const RESPONSE_EPHEMERAL_AT = 12
const RESPONSE_EMPTY_AT = 44

/** A private key and its public half. */
export interface StaticKey {
  readonly secret: X25519Secret
  readonly publicKey: Uint8Array
}

/** The keys of one session, as this side uses them. */
export interface TransportKeys {
  readonly send: Uint8Array
  readonly receive: Uint8Array
}

/** Both sides' state after an initiation. */
interface Handshake {
  readonly chain: Uint8Array
  readonly hash: Uint8Array
}

/** An initiation whose sender's static key has been decrypted, but not proven yet. */
export interface ReadInitiation extends Handshake {
  readonly message: Uint8Array
  readonly ephemeral: Uint8Array
  readonly staticKey: Uint8Array
}

/** An initiation that is proven to come from the holder of its static key, now or at an earlier time. */
export interface ProvenInitiation extends ReadInitiation {
  readonly timestamp: Uint8Array
}

/** An initiation of this side that waits for its response. */
export interface SentInitiation extends Handshake {
  readonly ephemeral: X25519Secret
  readonly own: StaticKey
}

// ── as the responder ──

/** Decrypts the sender's static key, which takes one key agreement; undefined: not meant for this key. */
export function readInitiation(own: StaticKey, message: Uint8Array): ReadInitiation | undefined {
  const ephemeral = copy(message, EPHEMERAL_AT, STATIC_AT)
  const shared = own.secret.agree(ephemeral)
  if (shared === undefined) return undefined
  const hash = blake2s(blake2s(START_HASH, own.publicKey), ephemeral)
  const [chain, key] = kdf2(kdf1(CONSTRUCTION, ephemeral), shared)
  const sealed = message.subarray(STATIC_AT, TIMESTAMP_AT)
  const staticKey = open(key, sealed, hash)
  if (staticKey === undefined) return undefined
  return { message, ephemeral, staticKey, chain, hash: blake2s(hash, sealed) }
}

/** @param shared what this side's static key and the sender's agree on */
export function proveInitiation(read: ReadInitiation, shared: Uint8Array): ProvenInitiation | undefined {
  const [chain, key] = kdf2(read.chain, shared)
  const sealed = read.message.subarray(TIMESTAMP_AT, TIMESTAMP_AT + TIMESTAMP_BYTES + TAG_BYTES)
  const timestamp = open(key, sealed, read.hash)
  if (timestamp === undefined) return undefined
  return { ...read, timestamp, chain, hash: blake2s(read.hash, sealed) }
}

/** The response without its MACs, and the session's keys. @param ephemeralKey 32 random bytes */
export function respond(
  { message, ephemeral, staticKey, chain: before, hash: initiated }: ProvenInitiation,
  index: number,
  ephemeralKey: Uint8Array,
): { readonly message: Buffer; readonly keys: TransportKeys } | undefined {
  const own = new X25519Secret(ephemeralKey)
  const ownPublic = own.publicKey
  const [first, second] = [own.agree(ephemeral), own.agree(staticKey)]
  if (first === undefined || second === undefined) return undefined
  const response = Buffer.alloc(RESPONSE_BYTES)
  response[0] = MessageType.response
  response.writeUInt32LE(index, SENDER_AT)
  response.set(message.subarray(SENDER_AT, SENDER_AT + 4), RESPONSE_RECEIVER_AT)
  response.set(ownPublic, RESPONSE_EPHEMERAL_AT)
  const hash = blake2s(initiated, ownPublic)
  const end = finish(kdf1(kdf1(kdf1(before, ownPublic), first), second), hash)
  response.set(chacha20poly1305(end.key, zeroNonce(), end.hash).encrypt(NOTHING), RESPONSE_EMPTY_AT)
  const [receive, send] = kdf2(end.chain, NOTHING)
  return { message: response, keys: { send, receive } }
}

// ── as the initiator ──

/** Who is initiated to. */
export interface RemoteStatic {
  readonly publicKey: Uint8Array
  /** What this side's static key and that one agree on. */
  readonly shared: Uint8Array
}

export interface InitiationFields {
  readonly index: number
  readonly timestamp: Uint8Array
  /** 32 random bytes. */
  readonly ephemeralKey: Uint8Array
}

/** An initiation without its MACs. Undefined for a key that nobody can hold. */
export function initiate(
  own: StaticKey,
  to: RemoteStatic,
  { index, timestamp, ephemeralKey }: InitiationFields,
): { readonly message: Buffer; readonly sent: SentInitiation } | undefined {
  const ephemeral = new X25519Secret(ephemeralKey)
  const ephemeralPublic = ephemeral.publicKey
  const shared = ephemeral.agree(to.publicKey)
  if (shared === undefined) return undefined
  const message = Buffer.alloc(INITIATION_BYTES)
  message[0] = MessageType.initiation
  message.writeUInt32LE(index, SENDER_AT)
  message.set(ephemeralPublic, EPHEMERAL_AT)
  let hash = blake2s(blake2s(START_HASH, to.publicKey), ephemeralPublic)
  const [first, staticKey] = kdf2(kdf1(CONSTRUCTION, ephemeralPublic), shared)
  const sealedStatic = chacha20poly1305(staticKey, zeroNonce(), hash).encrypt(own.publicKey)
  message.set(sealedStatic, STATIC_AT)
  hash = blake2s(hash, sealedStatic)
  const [chain, timeKey] = kdf2(first, to.shared)
  const sealedTime = chacha20poly1305(timeKey, zeroNonce(), hash).encrypt(timestamp)
  message.set(sealedTime, TIMESTAMP_AT)
  return { message, sent: { ephemeral, own, chain, hash: blake2s(hash, sealedTime) } }
}

/** The session's keys; undefined if the response is none to that initiation. */
export function readResponse(sent: SentInitiation, message: Uint8Array): TransportKeys | undefined {
  const theirs = copy(message, RESPONSE_EPHEMERAL_AT, RESPONSE_EMPTY_AT)
  const [first, second] = [sent.ephemeral.agree(theirs), sent.own.secret.agree(theirs)]
  if (first === undefined || second === undefined) return undefined
  const end = finish(kdf1(kdf1(kdf1(sent.chain, theirs), first), second), blake2s(sent.hash, theirs))
  const sealed = message.subarray(RESPONSE_EMPTY_AT, RESPONSE_EMPTY_AT + TAG_BYTES)
  if (open(end.key, sealed, end.hash) === undefined) return undefined
  const [send, receive] = kdf2(end.chain, NOTHING)
  return { send, receive }
}

// ── transport ──

const COUNTER_AT = 8
const SEALED_AT = 16

/** A transport message without a packet, which a peer takes as a sign of life. */
export function keepalive(keys: TransportKeys, receiver: number, counter: number): Buffer {
  const message = Buffer.alloc(SEALED_AT + TAG_BYTES)
  message[0] = MessageType.transport
  message.writeUInt32LE(receiver, SENDER_AT)
  message.writeBigUInt64LE(BigInt(counter), COUNTER_AT)
  message.set(chacha20poly1305(keys.send, nonceOf(message)).encrypt(NOTHING), SEALED_AT)
  return message
}

/** The counter of a keepalive; undefined if it was not sealed with this session's key. */
export function openKeepalive(keys: TransportKeys, message: Buffer): number | undefined {
  if (message.length !== SEALED_AT + TAG_BYTES) return undefined
  if (open(keys.receive, message.subarray(SEALED_AT), NOTHING, nonceOf(message)) === undefined)
    return undefined
  return Number(message.readBigUInt64LE(COUNTER_AT))
}

function nonceOf(message: Uint8Array): Uint8Array {
  const nonce = zeroNonce()
  nonce.set(message.subarray(COUNTER_AT, SEALED_AT), 4)
  return nonce
}

// ── steps that both sides take ──

/** The last key of the handshake, from the chain after both agreements. */
function finish(chain: Uint8Array, hash: Uint8Array): Handshake & { readonly key: Uint8Array } {
  const [next, tau, key] = kdf3(chain, NO_PRESHARED_KEY)
  return { chain: next, key, hash: blake2s(hash, tau) }
}

function open(
  key: Uint8Array,
  sealed: Uint8Array,
  hash: Uint8Array,
  nonce = zeroNonce(),
): Uint8Array | undefined {
  try {
    return chacha20poly1305(key, nonce, hash).decrypt(sealed)
  } catch {
    return undefined
  }
}

function zeroNonce(): Uint8Array {
  return new Uint8Array(12)
}

function copy(bytes: Uint8Array, from: number, to: number): Uint8Array {
  return new Uint8Array(bytes.subarray(from, to))
}

export function kdf1(key: Uint8Array, input: Uint8Array): Uint8Array {
  return hmacBlake2s(hmacBlake2s(key, input), ONE)
}

function kdf2(key: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array] {
  const [first, second] = kdf3(key, input)
  return [first, second]
}

export function kdf3(key: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array, Uint8Array] {
  const secret = hmacBlake2s(key, input)
  const first = hmacBlake2s(secret, ONE)
  const second = hmacBlake2s(secret, first, TWO)
  return [first, second, hmacBlake2s(secret, second, THREE)]
}

const [ONE, TWO, THREE] = [new Uint8Array([1]), new Uint8Array([2]), new Uint8Array([3])]
