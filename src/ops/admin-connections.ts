// The connections of a server for operators and their tools, up to a maximum. A new connection is always accepted, because it may be the probe
// that decides whether the process is restarted. At the maximum, the connection that has been idle longest is closed for
// it; if none is idle, the one that has waited longest for its answer. Each connection gets one answer at a time.

import type { Socket } from 'node:net'

export class AdminConnections {
  readonly #max: number
  readonly #pendingMax: number
  /** Connections without an open request, the one that has been idle longest first. */
  readonly #idle = new Set<Socket>()
  /** Connections with open requests, and the number of these requests; the longest busy connection first. */
  readonly #busy = new Map<Socket, number>()
  readonly #turns = new WeakMap<Socket, Promise<void>>()

  /** @param pendingMax open requests that one connection may have */
  constructor(max: number, pendingMax: number) {
    this.#max = max
    this.#pendingMax = pendingMax
  }

  add(socket: Socket): void {
    if (this.#idle.size + this.#busy.size >= this.#max) {
      const oldest = first(this.#idle) ?? first(this.#busy.keys())
      if (oldest !== undefined) this.#end(oldest)
    }
    this.#idle.add(socket)
    socket.once('close', () => this.#delete(socket))
  }

  /**
   * Registers a request. Resolves when the request may be answered; false if the connection has ended or has too many
   * open requests. `answered` must resolve when the answer has been sent, or can't be sent any more.
   */
  async turn(socket: Socket, answered: Promise<void>): Promise<boolean> {
    const pending = (this.#busy.get(socket) ?? 0) + 1
    if (socket.destroyed) return false
    if (pending > this.#pendingMax) {
      this.#end(socket)
      return false
    }
    this.#idle.delete(socket)
    this.#busy.set(socket, pending)
    const before = this.#turns.get(socket)
    this.#turns.set(
      socket,
      answered.then(() => this.#answered(socket)),
    )
    await before
    return !socket.destroyed
  }

  #answered(socket: Socket): void {
    const pending = this.#busy.get(socket)
    if (pending === undefined) return
    if (pending > 1) return void this.#busy.set(socket, pending - 1)
    this.#busy.delete(socket)
    this.#idle.add(socket)
  }

  #end(socket: Socket): void {
    this.#delete(socket)
    socket.destroy()
  }

  #delete(socket: Socket): void {
    this.#idle.delete(socket)
    this.#busy.delete(socket)
  }
}

function first<T>(items: Iterable<T>): T | undefined {
  for (const item of items) return item
  return undefined
}
