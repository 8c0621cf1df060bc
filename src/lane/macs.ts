// The two MACs at the end of WireGuard's handshake messages. mac1 says that the sender knows the receiver's public key; mac2, that it has
// received a cookie at its address, which the receiver asks for under load. From both sides: as the one that is asked, and as the
// one that asks. Pure: randomness and time are passed in.

import { xchacha20poly1305 } from '@noble/ciphers/chacha.js'
import { isZero } from '#protocol/bytes.ts'
import { Blake2sMac, blake2s, MAC_BYTES } from './blake2s.ts'
import {
  COOKIE_BYTES,
  INITIATION_MAC1_AT,
  INITIATION_MAC2_AT,
  MessageType,
  RECEIVER_AT,
  SENDER_AT,
} from './messages.ts'

const MAC1_LABEL = Buffer.from('mac1----')
const COOKIE_LABEL = Buffer.from('cookie--')
const COOKIE_NONCE_AT = 8
const COOKIE_SEALED_AT = 32
const COOKIE_NONCE_BYTES = 24
const SECRET_BYTES = 32
/** As long as WireGuard keeps a cookie. */
const COOKIE_LIFE_MS = 120_000

/** The MAC of handshake messages to the holder of a public key. */
export function mac1Of(publicKey: Uint8Array): Blake2sMac {
  return new Blake2sMac(blake2s(MAC1_LABEL, publicKey))
}

function cookieKey(publicKey: Uint8Array): Uint8Array {
  return blake2s(COOKIE_LABEL, publicKey)
}

/** Gives cookies to addresses, and recognizes them: of the one whose public key it is. */
export class CookieChecker {
  readonly #key: Uint8Array
  readonly #random: (bytes: number) => Uint8Array
  /** The present one, and the one before, whose cookies may still be in use. */
  #secrets: readonly Blake2sMac[] = []
  #sinceMs = -Infinity

  constructor(publicKey: Uint8Array, random: (bytes: number) => Uint8Array) {
    this.#key = cookieKey(publicKey)
    this.#random = random
  }

  /** The answer to an initiation. @param address of its sender */
  reply(initiation: Uint8Array, address: Uint8Array, nowMs: number): Buffer {
    const nonce = this.#random(COOKIE_NONCE_BYTES)
    const reply = Buffer.alloc(COOKIE_BYTES)
    reply[0] = MessageType.cookie
    reply.set(initiation.subarray(SENDER_AT, SENDER_AT + 4), RECEIVER_AT)
    reply.set(nonce, COOKIE_NONCE_AT)
    const mac1 = initiation.subarray(INITIATION_MAC1_AT, INITIATION_MAC2_AT)
    const sealed = xchacha20poly1305(this.#key, nonce, mac1).encrypt(this.#present(nowMs).of(address))
    reply.set(sealed, COOKIE_SEALED_AT)
    return reply
  }

  /** Whether the initiation's sender has received a cookie at that address. */
  hasCookie(initiation: Uint8Array, address: Uint8Array, nowMs: number): boolean {
    if (isZero(initiation, INITIATION_MAC2_AT, INITIATION_MAC2_AT + MAC_BYTES)) return false
    this.#present(nowMs)
    return this.#secrets.some((secret) =>
      new Blake2sMac(secret.of(address)).matches(initiation, INITIATION_MAC2_AT),
    )
  }

  #present(nowMs: number): Blake2sMac {
    const [present] = this.#secrets
    if (present !== undefined && nowMs - this.#sinceMs < COOKIE_LIFE_MS) return present
    const next = new Blake2sMac(this.#random(SECRET_BYTES))
    this.#secrets = present === undefined ? [next] : [next, present]
    this.#sinceMs = nowMs
    return next
  }
}

/** Puts the MACs into initiations to the holder of a public key, and keeps the cookie that it has asked for. */
export class MacWriter {
  readonly #mac1: Blake2sMac
  readonly #cookieKey: Uint8Array
  #lastMac1: Uint8Array = new Uint8Array(0)
  #cookie: { readonly mac: Blake2sMac; readonly atMs: number } | undefined = undefined

  constructor(publicKey: Uint8Array, mac1: Blake2sMac) {
    this.#mac1 = mac1
    this.#cookieKey = cookieKey(publicKey)
  }

  write(message: Uint8Array, mac1At: number, nowMs: number): void {
    this.#lastMac1 = this.#mac1.of(message.subarray(0, mac1At))
    message.set(this.#lastMac1, mac1At)
    const cookie = this.#cookie
    if (cookie === undefined || nowMs - cookie.atMs > COOKIE_LIFE_MS) return
    const mac2At = mac1At + MAC_BYTES
    message.set(cookie.mac.of(message.subarray(0, mac2At)), mac2At)
  }

  /** Takes a cookie for later messages. Returns false if it is none for the last message. */
  takeCookie(reply: Uint8Array, nowMs: number): boolean {
    try {
      const nonce = reply.subarray(COOKIE_NONCE_AT, COOKIE_SEALED_AT)
      const cookie = xchacha20poly1305(this.#cookieKey, nonce, this.#lastMac1).decrypt(
        reply.subarray(COOKIE_SEALED_AT),
      )
      this.#cookie = { mac: new Blake2sMac(cookie), atMs: nowMs }
      return true
    } catch {
      return false
    }
  }
}
