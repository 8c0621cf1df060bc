// The native calls, each against the real kernel. Skipped where koffi has no build; then everything else runs without.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, it, onTestFinished } from 'vitest'
import { descriptorOf, errorText, loadNative, NOTHING_TO_READ, type Native } from '#transport/native.ts'
import { TemporaryFolder } from '../config/temporary-folder.ts'
import { waitUntil } from '../support/process.ts'

const loaded = await loadNative().catch((error: Error) => error)
if (loaded instanceof Error) process.stderr.write(`SKIPPING native calls: ${loaded.message}\n`)
const native = loaded as Native

/** A connection over `server`, and the server's end of it. */
async function connected(server: Server): Promise<{ near: Socket; far: Socket }> {
  const accepted = once(server, 'connection')
  const near = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [far] = (await accepted) as [Socket]
  onTestFinished(() => void (near.destroy(), far.destroy()))
  return { near, far }
}

async function listening(options = {}): Promise<Server> {
  const server = createServer(options).listen({ host: '127.0.0.1', port: 0 })
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  return server
}

describe.skipIf(loaded instanceof Error)('native calls', () => {
  it('connections inherit the user timeout of the listening socket', async () => {
    const server = await listening()
    expect(native.userTimeout(descriptorOf(server))).toBe(0)
    expect(native.setUserTimeout(descriptorOf(server), 15_000)).toBe(0)
    const { far } = await connected(server)
    expect(native.userTimeout(descriptorOf(far))).toBe(15_000)
  })

  it('read the round trip of a connection', async () => {
    const { near, far } = await connected(await listening())
    near.write('ping')
    await once(far, 'data')
    const us = native.roundTripUs(descriptorOf(far))
    expect(us).toBeGreaterThan(0)
    expect(us).toBeLessThan(1_000_000)
  })

  it('read what a socket has, nothing while it has nothing, and its end', async () => {
    const { near, far } = await connected(await listening({ pauseOnConnect: true }))
    const buffer = Buffer.alloc(8)
    const receive = (): number => native.receive(descriptorOf(far), buffer, 4)
    expect(receive()).toBe(NOTHING_TO_READ)
    near.end('packets')
    await waitUntil('the bytes have arrived', () => receive() === 4)
    expect(buffer.toString('latin1')).toBe('pack\0\0\0\0')
    expect(receive()).toBe(3)
    expect(buffer.toString('latin1')).toBe('etsk\0\0\0\0')
    await waitUntil('the end has arrived', () => receive() === 0)
  })

  it('a duplicate outlives its original', async () => {
    const server = await listening()
    const { port } = server.address() as AddressInfo
    const duplicate = native.duplicate(descriptorOf(server))
    server.close()
    const again = createServer().listen({ fd: duplicate })
    onTestFinished(() => void again.close())
    await once(again, 'listening')
    expect((again.address() as AddressInfo).port).toBe(port)
    await connected(again)
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
      native.receive(file, Buffer.alloc(1), 1),
    ].map(errorText)
    expect(names).toEqual(['ENOENT', 'ENAMETOOLONG', 'EBADF', 'ENOTSOCK', 'EBADF', 'ENOTSOCK'])
  })
})
