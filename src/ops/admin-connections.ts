// The connections of the admin port: so many and no more, of which the newest is always let in, since it may be the probe
// that decides whether the process lives. Who goes for it is the one that has been idle longest; where nobody is, the
// one that has taken longest to take its answer. Each connection has one answer made at a time.

import type { Socket } from 'node:net'

export class AdminConnections {
  readonly #max: number
  readonly #pendingMax: number
  /** Without a request, by since when. */
  readonly #idle = new Set<Socket>()
  /** With requests that are not answered, by since when; and how many these are. */
  readonly #busy = new Map<Socket, number>()
  readonly #turns = new WeakMap<Socket, Promise<void>>()

  /** @param pendingMax requests that one may send before it has taken the answer to the first */
  constructor(max: number, pendingMax: number) {
    this.#max = max
    this.#pendingMax = pendingMax
  }

  add(socket: Socket): void {
    if (this.#idle.size + this.#busy.size >= this.#max) {
      const last = first(this.#idle) ?? first(this.#busy.keys())
      if (last !== undefined) this.#end(last)
    }
    this.#idle.add(socket)
    socket.once('close', () => this.#delete(socket))
  }

  /**
   * A request has come. Resolves when it is its turn; `answered` must be called when its answer is taken, or will not
   * be. False: it has ended, or sent too many.
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
