// The native calls, each against the real kernel. Skipped where koffi has no build; then everything else runs without.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, it, onTestFinished } from 'vitest'
import {
  descriptorOf,
  DESCRIPTORS_PER_MESSAGE_MAX,
  errorText,
  loadNative,
  type Native,
} from '#transport/native.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { waitUntil } from '../support/process.ts'

const loaded = await loadNative().catch((error: Error) => error)
if (loaded instanceof Error) process.stderr.write(`SKIPPING native calls: ${loaded.message}\n`)
const native = loaded as Native

/** A connection over `server`, and the server's end of it. */
async function connected(server: Server): Promise<{ near: Socket; far: Socket }> {
  const accepted = once(server, 'connection')
  const address = server.address()
  const near =
    typeof address === 'string' ? connect(address) : connect((address as AddressInfo).port, '127.0.0.1')
  const [far] = (await accepted) as [Socket]
  onTestFinished(() => void (near.destroy(), far.destroy()))
  return { near, far }
}

async function listening(at: { path: string } | { port: number }, isPaused = false): Promise<Server> {
  const server = createServer({ pauseOnConnect: isPaused }).listen({ host: '127.0.0.1', ...at })
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  return server
}

describe.skipIf(loaded instanceof Error)('native calls', () => {
  it('connections inherit the user timeout of the listening socket', async () => {
    const server = await listening({ port: 0 })
    expect(native.userTimeout(descriptorOf(server))).toBe(0)
    expect(native.setUserTimeout(descriptorOf(server), 15_000)).toBe(0)
    const { far } = await connected(server)
    expect(native.userTimeout(descriptorOf(far))).toBe(15_000)
  })

  it('read the round trip of a connection', async () => {
    const { near, far } = await connected(await listening({ port: 0 }))
    near.write('ping')
    await once(far, 'data')
    const us = native.roundTripUs(descriptorOf(far))
    expect(us).toBeGreaterThan(0)
    expect(us).toBeLessThan(1_000_000)
  })

  it('a duplicate outlives its original', async () => {
    const server = await listening({ port: 0 })
    const { port } = server.address() as AddressInfo
    const duplicate = native.duplicate(descriptorOf(server))
    server.close()
    const again = createServer().listen({ fd: duplicate })
    onTestFinished(() => void again.close())
    await once(again, 'listening')
    expect((again.address() as AddressInfo).port).toBe(port)
    await connected(again)
  })

  it('send a listening socket and bytes over a Unix socket, and receive them', async () => {
    using folder = new TemporaryFolder()
    const { near, far } = await connected(await listening({ path: folder.at('socket') }, true))
    const first = await listening({ port: 0 })
    const { port } = first.address() as AddressInfo
    const bytes = Buffer.from('derp')
    expect(native.sendDescriptors(descriptorOf(near), bytes, [descriptorOf(first), 0])).toBe(bytes.length)
    const received = Buffer.alloc(16)
    const message = native.receiveDescriptors(descriptorOf(far), received)
    if (typeof message === 'number') throw new Error(errorText(message))
    expect(received.toString('utf8', 0, message.byteCount)).toBe('derp')
    const [listener = -1, input = -1] = message.descriptors
    native.close(input)
    first.close()
    const second = createServer().listen({ fd: listener })
    onTestFinished(() => void second.close())
    await once(second, 'listening')
    expect((second.address() as AddressInfo).port).toBe(port)
    await connected(second)
  })

  it('sending and receiving keep to their limits, and do not wait', async () => {
    using folder = new TemporaryFolder()
    const { near, far } = await connected(await listening({ path: folder.at('socket') }, true))
    const [from, to] = [descriptorOf(near), descriptorOf(far)]
    const nothing = native.receiveDescriptors(to, Buffer.alloc(4))
    expect(errorText(nothing as number)).toBe('EAGAIN')
    const many = Array.from({ length: DESCRIPTORS_PER_MESSAGE_MAX }, () => 0)
    expect(native.sendDescriptors(from, Buffer.from('x'), many)).toBe(1)
    const message = native.receiveDescriptors(to, Buffer.alloc(4))
    if (typeof message === 'number') throw new Error(errorText(message))
    expect(message.descriptors).toHaveLength(many.length)
    for (const descriptor of message.descriptors) native.close(descriptor)
    expect(errorText(native.sendDescriptors(from, Buffer.from('x'), [...many, 0]))).toBe('EMSGSIZE')
    expect(errorText(native.sendDescriptors(from, Buffer.alloc(0), [0]))).toBe('EMSGSIZE')
    // Bytes alone are a message too.
    expect(native.sendDescriptors(from, Buffer.from('end'), [])).toBe(3)
    expect(native.receiveDescriptors(to, Buffer.alloc(4))).toEqual({ byteCount: 3, descriptors: [] })
    near.destroy()
    await once(near, 'close')
    expect(native.receiveDescriptors(to, Buffer.alloc(4))).toEqual({ byteCount: 0, descriptors: [] })
  })

  it('know the process at the other end of a Unix socket', async () => {
    using folder = new TemporaryFolder()
    const { far } = await connected(await listening({ path: folder.at('socket') }))
    const { pid, getuid, getgid } = process
    expect(native.peerCredentials(descriptorOf(far))).toEqual({ pid, uid: getuid?.(), gid: getgid?.() })
  })

  it.each(['path', 'abstract name'])('send datagrams to a Unix socket by its %s', async (kind) => {
    using folder = new TemporaryFolder()
    const path = kind === 'path' ? folder.at('notify') : `@derpfleet-test-${process.pid}`
    const script = join(import.meta.dirname, '..', 'support', 'notify-socket.py')
    const receiver = spawn('python3', [script, path], { stdio: ['ignore', 'pipe', 'inherit'] })
    onTestFinished(() => void receiver.kill('SIGKILL'))
    const lines: string[] = []
    createInterface({ input: receiver.stdout }).on('line', (line) => lines.push(line))
    await waitUntil('the receiver listens', () => lines.length > 0)
    expect(native.sendDatagram(path, 'READY=1\nSTATUS=zwölf')).toBe(21)
    await waitUntil('the datagram has arrived', () => lines.length > 1)
    expect(JSON.parse(lines[1] ?? '')).toEqual({ pid: process.pid, message: { READY: '1', STATUS: 'zwölf' } })
  })

  it('report errors as numbers, and never throw', () => {
    const file = openSync('/dev/null', 'r')
    onTestFinished(() => closeSync(file))
    const names = [
      native.sendDatagram('/nowhere/notify', 'READY=1'),
      native.sendDatagram(`/${'x'.repeat(120)}`, 'READY=1'),
      native.setUserTimeout(-1, 1_000),
      native.roundTripUs(file),
      native.duplicate(-1),
      native.peerCredentials(-1) as number,
      native.sendDescriptors(-1, Buffer.from('x'), []),
      native.receiveDescriptors(-1, Buffer.alloc(1)) as number,
    ].map(errorText)
    expect(names).toEqual(['ENOENT', 'ENAMETOOLONG', 'EBADF', 'ENOTSOCK', 'EBADF', 'EBADF', 'EBADF', 'EBADF'])
  })
})
