// An acceptor that listens, and who comes in by it: for tests of both ways in, over the runtime's handles and over
// its sockets, without a relay behind them.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls, type TlsOptions } from 'node:tls'
import { expect, vi } from 'vitest'
import { keyPairFrom } from '#protocol/node-key.ts'
import { Counters } from '#relay/counters.ts'
import type { EndReason } from '#relay/end-reason.ts'
import type { LinkListener } from '#relay/ports.ts'
import type { Connection, Acceptor, AcceptorParts } from '#transport/connection.ts'
import { HandleAcceptor } from '#transport/handle-acceptor.ts'
import { NO_WRITE_TURNS } from '#transport/read-state.ts'
import { ReadScheduler } from '#transport/read-scheduler.ts'
import { runtimeHandles } from '#transport/runtime-handles.ts'
import { SocketAcceptor } from '#transport/socket-acceptor.ts'
import { tlsIdentity } from '#transport/tls-identity.ts'
import { goodPair } from '../config/certificates.ts'
import type { FakeClock } from './fake-clock.ts'

function makeIdentity(maxVersion: 'TLSv1.2' | 'TLSv1.3'): TlsOptions {
  return tlsIdentity({
    pem: goodPair('localhost'),
    publicKey: keyPairFrom(randomBytes(32)).publicKey,
    seed: randomBytes(32),
    maxVersion,
    nowMs: Date.now(),
  })
}

/** Somebody who has come in: keeps what is heard. */
export class Guest implements LinkListener {
  readonly connection: Connection
  readonly chunks: Buffer[] = []
  writtenCount = 0
  closedCount = 0
  endReason: EndReason | undefined = undefined
  onBytes: (chunk: Buffer) => void = () => undefined

  constructor(connection: Connection) {
    this.connection = connection
    connection.attach(this)
  }

  receive(chunk: Buffer, start: number, end: number): void {
    const own = Buffer.from(chunk.subarray(start, end))
    // What is lent may be changed by whom it is lent to, as the relay does.
    chunk.fill(0xee, start, end)
    this.chunks.push(own)
    this.onBytes(own)
  }

  written(): void {
    this.writtenCount++
  }

  closed(reason: EndReason): void {
    this.endReason = reason
    this.closedCount++
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString('latin1')
  }
}

export interface Way {
  readonly isDirect: boolean
  readonly tls: 'TLSv1.2' | 'TLSv1.3' | undefined
}

interface HallOptions {
  readonly clock?: FakeClock
  readonly threadCount?: number
}

/** An acceptor that listens, and who has come in. */
export class Hall {
  readonly guests: Guest[] = []
  readonly counters = new Counters()
  readonly scheduler = new ReadScheduler(
    () => performance.now(),
    () => 0,
    NO_WRITE_TURNS,
  )
  isOpen = true
  port = 0
  /** TLS connections that were made, over handles alone. */
  tlsCount = 0
  readonly #acceptor: Acceptor
  readonly #isTls: boolean
  readonly #remotes: Socket[] = []

  /** @param clock real time if there is none; with more threads, this one's share of what may be is smaller */
  constructor({ isDirect, tls }: Way, { clock, threadCount = 1 }: HallOptions = {}) {
    this.#isTls = tls !== undefined
    const parts: AcceptorParts & { scheduler: ReadScheduler } = {
      counters: this.counters,
      scheduler: this.scheduler,
      identity: tls === undefined ? undefined : makeIdentity(tls),
      keepAliveMs: 600_000,
      threadCount,
      now: clock?.now ?? (() => performance.now()),
      mayAccept: () => this.isOpen,
      accepted: (connection) => void this.guests.push(new Guest(connection)),
    }
    const handles = runtimeHandles()
    const counted: typeof handles.wrapTls = (tcp, context) => {
      this.tlsCount++
      return handles.wrapTls(tcp, context)
    }
    this.#acceptor = isDirect
      ? new HandleAcceptor({
          ...parts,
          handles: { ...handles, wrapTls: counted },
        })
      : new SocketAcceptor(parts)
  }

  async open(): Promise<this> {
    this.port = (await this.#acceptor.listen({ host: '127.0.0.1', port: 0 }, false)).port
    return this
  }

  /** Ends all remotes. */
  hangUp(): void {
    for (const remote of this.#remotes) remote.destroy()
  }

  async close(): Promise<void> {
    this.hangUp()
    await this.#acceptor.close()
  }

  sweep(): void {
    this.#acceptor.sweep()
  }

  tcp(): Socket {
    const socket = connectTcp(this.port, '127.0.0.1')
    this.#remotes.push(socket)
    return socket.on('error', () => undefined)
  }

  async remote(tcp = this.tcp()): Promise<Socket> {
    await once(tcp, 'connect')
    if (!this.#isTls) return tcp
    const socket = connectTls({ socket: tcp, rejectUnauthorized: false })
    socket.on('error', () => undefined)
    await once(socket, 'secureConnect')
    return socket
  }

  /** A remote, the TCP connection under its TLS, and who it is in here. */
  async pair(): Promise<{ remote: Socket; tcp: Socket; guest: Guest }> {
    const before = this.guests.length
    const tcp = this.tcp()
    const remote = await this.remote(tcp)
    await vi.waitFor(() => expect(this.guests.length).toBe(before + 1))
    return { remote, tcp, guest: this.guests[before] as Guest }
  }
}

/** All that a socket receives until its end. */
export async function received(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await new Promise((resolve) => socket.once('close', resolve))
  return Buffer.concat(chunks)
}

/** Handshakes that failed, for whatever reason. */
export function failures(counters: Counters): number {
  return (
    counters.get('handshakesTimedOut') +
    counters.get('handshakesNotTls') +
    counters.get('handshakesLeft') +
    counters.get('handshakesBroken') +
    counters.get('handshakesCrowdedOut')
  )
}
