// A listening port with native calls: the limit for remotes that do not acknowledge, and sockets that others have opened.
// How it refuses connections is acceptor-limits.test.ts.

import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Counters } from '#relay/counters.ts'
import { ListeningPort, type ListenAddress } from '#transport/listening-port.ts'
import { descriptorOf, loadNative, type Native } from '#transport/native.ts'

const loaded = await loadNative().catch((error: Error) => error)
if (loaded instanceof Error) process.stderr.write(`SKIPPING listening with native calls: ${loaded.message}\n`)
const native = loaded as Native

/** A server that keeps every connection for which there is a descriptor. */
class Listener {
  readonly accepted: Socket[] = []
  readonly server = createServer()
  readonly port: ListeningPort
  address: AddressInfo | undefined = undefined
  #nowMs = 0

  constructor(calls: Native | undefined) {
    const userTimeout = calls && { native: calls, ms: 7_000 }
    this.port = new ListeningPort(this.server, {
      counters: new Counters(),
      now: () => this.#nowMs,
      native: calls,
      userTimeout,
    })
    this.server.on('connection', (socket) => {
      this.port.mayKeep(descriptorOf(socket))
      this.accepted.push(socket)
    })
    onTestFinished(async () => {
      for (const socket of this.accepted) socket.destroy()
      await this.port.close()
    })
  }

  async listen(more: Partial<ListenAddress> = {}): Promise<this> {
    this.address = await this.port.listen({ host: '127.0.0.1', port: 0, ...more }, false)
    return this
  }

  /** So many connections are refused within a second that the port pauses; then it listens again. */
  async pause(): Promise<void> {
    for (let n = 0; n < 32; n++) this.port.mayKeep(1_000_000_000)
    expect(this.server.listening).toBe(false)
    this.#nowMs += 1_000
    const again = once(this.server, 'listening')
    this.port.sweep()
    await again
  }
}

async function connectTo(at: AddressInfo | undefined): Promise<Socket> {
  const socket = connect(at?.port ?? 0, '127.0.0.1')
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

async function openedElsewhere(): Promise<Server> {
  const holder = createServer().listen(0, '127.0.0.1')
  onTestFinished(() => void holder.close())
  await once(holder, 'listening')
  return holder
}

describe.skipIf(loaded instanceof Error)('with native calls', () => {
  it('many connections are accepted in one turn of the loop, also after a pause; none after it is stopped', async () => {
    const accepted: Socket[] = []
    const listening: Server[] = []
    let nowMs = 0
    const server = createServer()
    const port = new ListeningPort(server, {
      counters: new Counters(),
      now: () => nowMs,
      native,
      onListening: (servers) => {
        for (const one of servers) one.on('connection', (socket) => accepted.push(socket))
        listening.push(...servers)
      },
    })
    const { port: number } = await port.listen({ host: '127.0.0.1', port: 0 }, false)
    const turnsFor = async (count: number): Promise<number> => {
      // Complete in the system before the loop's next turn.
      const remotes = Array.from({ length: count }, () => connect(number, '127.0.0.1'))
      let turns = 0
      for (; accepted.length < count && turns < count; turns++) await setImmediate()
      for (const socket of [...remotes, ...accepted.splice(0)]) socket.destroy()
      return turns
    }
    expect(await turnsFor(48)).toBeLessThan(10)
    for (let n = 0; n < 32; n++) port.mayKeep(1_000_000_000)
    expect(listening.filter((one) => one.listening)).toEqual([])
    nowMs += 1_000
    port.sweep()
    await once(server, 'listening')
    expect(await turnsFor(48)).toBeLessThan(10)
    port.stopListening()
    expect(listening.filter((one) => one.listening)).toEqual([])
    const [error] = (await once(connect(number, '127.0.0.1'), 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNREFUSED')
  })

  it('a limit that changes applies to later connections, also after a pause', async () => {
    const listener = await new Listener(native).listen()
    for (const ms of [9_000, 0]) {
      listener.port.setUserTimeout(ms)
      await connectTo(listener.address)
      await expect.poll(() => listener.accepted.length).toBe(ms === 0 ? 2 : 1)
      if (ms !== 0) await listener.pause()
    }
    expect(listener.accepted.map((socket) => native.userTimeout(descriptorOf(socket)))).toEqual([9_000, 0])
  })

  it('connections have the limit, also after a pause', async () => {
    const listener = await new Listener(native).listen()
    for (const count of [1, 2]) {
      await connectTo(listener.address)
      await expect.poll(() => listener.accepted.length).toBe(count)
      if (count === 1) await listener.pause()
    }
    expect(listener.accepted.map((socket) => native.userTimeout(descriptorOf(socket)))).toEqual([
      7_000, 7_000,
    ])
  })

  it('an inherited socket is listened on, and its connections that were complete before have the limit too', async () => {
    const holder = await openedElsewhere()
    // Nobody may accept for the holder, as for a service manager: its connections wait in the kernel.
    const waiting = native.duplicate(descriptorOf(holder))
    onTestFinished(() => void native.close(waiting))
    const address = holder.address() as AddressInfo
    holder.close()
    await once(holder, 'close')
    await connectTo(address)
    const listener = await new Listener(native).listen({ inherited: waiting })
    expect(listener.address?.port).toBe(address.port)
    await expect.poll(() => listener.accepted.length).toBe(1)
    expect(listener.accepted.map((socket) => native.userTimeout(descriptorOf(socket)))).toEqual([7_000])
    await listener.pause()
    await connectTo(address)
    await expect.poll(() => listener.accepted.length).toBe(2)
    // Several can listen on it, and the end of one does not close it.
    for (const socket of listener.accepted) socket.destroy()
    await listener.port.close()
    const next = await new Listener(native).listen({ inherited: waiting })
    await connectTo(address)
    await expect.poll(() => next.accepted.length).toBe(1)
  })
})
