// Everything that frees memory of OpenSSL, and nothing else. A wrong address ends the process, so each has one owner here: a
// connection's TLS state, a context, or what is needed only while a context is made.
//
// Contract: an address that this file has given out may be used until it is freed here. It is forgotten before it is freed:
// to free it a second time does nothing. No function of OpenSSL calls back into JavaScript, so nothing is freed while OpenSSL
// uses it.

import type { Openssl } from './openssl.ts'

/** OpenSSL gave no address, or refused what it was given. */
export class OpensslError extends Error {
  static of(openssl: Openssl, what: string): OpensslError {
    const text = Buffer.alloc(256)
    openssl.errorText(openssl.lastError(), text, text.length)
    openssl.clearErrors()
    return new OpensslError(`OpenSSL cannot ${what}: ${text.toString('latin1').replace(/\0.*$/s, '')}`)
  }
}

type Freed = 'freeBio' | 'freeCertificate' | 'freeKey'

export class OpensslMemory {
  readonly #openssl: Openssl
  readonly #contexts = new Set<number>()
  readonly #connections = new Set<number>()
  readonly #bios = new Set<number>()

  constructor(openssl: Openssl) {
    this.#openssl = openssl
  }

  /** TLS states that were ever made. */
  madeCount = 0

  /** TLS states that have not been freed. */
  get connectionCount(): number {
    return this.#connections.size
  }

  get contextCount(): number {
    return this.#contexts.size
  }

  newContext(): number {
    const context = this.#given('make a context', this.#openssl.newContext(this.#openssl.serverMethod()))
    this.#contexts.add(context)
    return context
  }

  /** Connections that were made of it live on. */
  freeContext(context: number): void {
    if (this.#contexts.delete(context)) this.#openssl.freeContext(context)
  }

  /** A buffer of OpenSSL: what is written to it can be read from it. */
  newBio(): number {
    const bio = this.#given('make a buffer', this.#openssl.newBio(this.#openssl.memoryMethod()))
    this.#bios.add(bio)
    return bio
  }

  /** The server's side of a TLS connection, which uses both buffers. */
  newConnection(context: number, input: number, output: number): number {
    const connection = this.#given('make a connection', this.#openssl.newTls(context))
    this.#connections.add(connection)
    this.madeCount++
    // The connection gives one use of each back when it is freed.
    this.#openssl.shareBio(input)
    this.#openssl.shareBio(output)
    this.#openssl.setBios(connection, input, output)
    this.#openssl.acceptState(connection)
    return connection
  }

  freeConnection(connection: number): void {
    if (this.#connections.delete(connection)) this.#openssl.freeTls(connection)
  }

  /** For the end of a thread: nothing is used any more. */
  freeAll(): void {
    for (const connection of this.#connections) this.freeConnection(connection)
    for (const context of this.#contexts) this.freeContext(context)
    for (const bio of this.#bios) {
      this.#bios.delete(bio)
      this.#openssl.freeBio(bio)
    }
  }

  /** Calls `use` with an address that is freed when it returns. */
  borrow<T>(address: number, free: Freed, use: (address: number) => T): T {
    try {
      return use(address)
    } finally {
      this.#openssl[free](address)
    }
  }

  #given(what: string, address: number): number {
    if (address === 0) throw OpensslError.of(this.#openssl, what)
    return address
  }
}
