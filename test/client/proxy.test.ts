// Through an HTTP proxy, with TLS and without, and what a user learns of a proxy that refuses or misbehaves.

import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test } from 'vitest'
import { DerpClient, newKeyPair, type ClientOptions } from '#client/derp-client.ts'
import { resolveProxy } from '#client/proxy.ts'
import { makeCertificate } from '../support/certificate.ts'
import { FakeServer } from './fake-server.ts'
import { temporaryFolder } from './temporary-folder.ts'

const folder = temporaryFolder()
const bob = newKeyPair().publicKey

/** A proxy that answers each CONNECT by a function; returns its URL and the heads of all requests. */
async function proxy(
  answer: (client: Socket, authority: string) => void = tunnel,
): Promise<{ url: string; heads: string[] }> {
  const heads: string[] = []
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    sockets.add(client)
    client.on('error', () => undefined)
    client.once('data', (head) => {
      heads.push(head.toString())
      answer(client, head.toString().split(' ')[1] ?? '')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, heads }
}

/** The name is looked up here: only this proxy knows it. */
function tunnel(client: Socket, authority: string): void {
  const port = Number(authority.split(':')[1])
  const server = connect(port, '127.0.0.1', () => {
    client.write('HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n')
    client.pipe(server).pipe(client)
  })
  server.on('error', () => client.destroy())
  client.on('close', () => server.destroy())
}

async function sends(options: Omit<ClientOptions, 'key'>, server: FakeServer): Promise<DerpClient> {
  const client = await DerpClient.connect({ ...options, key: newKeyPair() })
  onTestFinished(async () => await client.close())
  const session = await server.nextSession()
  client.send(bob, Buffer.from('hello'))
  const { payload } = await session.nextFrame()
  expect(payload.subarray(32).toString()).toBe('hello')
  return client
}

describe('through a proxy', () => {
  test('a client connects without TLS, to a name that only the proxy knows', async () => {
    await using server = await FakeServer.start()
    const { url, heads } = await proxy()
    const target = {
      host: 'derp.only-the-proxy.test',
      port: server.port,
      tls: false,
      proxy: { url },
    } as const
    await sends(target, server)
    const authority = `derp.only-the-proxy.test:${server.port}`
    expect(heads).toEqual([`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`])
  })

  test('with TLS, and with credentials', async () => {
    const certificate = await makeCertificate(folder(), 'derp.test')
    await using server = await FakeServer.start({ certificate, hasMetaCertificate: true })
    const { url, heads } = await proxy()
    const tls = { ca: await readFile(certificate.certPath) }
    const proxyOptions = { url, credentials: 'alice:secret' }
    const client = await sends({ host: 'derp.test', port: server.port, tls, proxy: proxyOptions }, server)
    expect(client.way).toBe('fast-start')
    expect(heads[0]).toContain(`\r\nProxy-Authorization: Basic ${btoa('alice:secret')}\r\n`)
    const closed = client.next('closed')
    client.destroy()
    expect((await closed).kind).toBe('closed')
  })

  test.each([
    ['HTTP/1.1 407 Proxy Authentication Required\r\n\r\n', 'answered 407 Proxy Authentication Required', 407],
    ['SSH-2.0-OpenSSH\r\n\r\n', 'did not answer in HTTP/1.1', undefined],
    ['HTTP/1.1 200 OK\r\n\r\nmore', 'sent bytes before the request to the server', undefined],
    [`HTTP/1.1 200 OK\r\nX: ${'x'.repeat(17_000)}`, 'sent an answer without an end', undefined],
  ])('a proxy that answers %j', async (answer, problem, status) => {
    const { url } = await proxy((client) => client.write(answer))
    const options = { host: 'derp.test', tls: false, proxy: { url }, key: newKeyPair() } as const
    await expect(DerpClient.connect(options)).rejects.toMatchObject({
      stage: 'dial',
      status,
      message: `the proxy ${new URL(url).host} ${problem}`,
    })
  })

  test('a silent proxy uses up the time limit', async () => {
    const { url } = await proxy(() => undefined)
    const options = { host: 'derp.test', proxy: { url }, connectTimeoutMs: 100, key: newKeyPair() }
    await expect(DerpClient.connect(options)).rejects.toMatchObject({ stage: 'dial' })
  })

  test.each(['https://proxy.test', 'proxy.test:80', 'http://proxy.test/path', 'http://user:pw@proxy.test'])(
    '%s is no proxy',
    (url) => {
      expect(() => resolveProxy({ url })).toThrow('proxy: expected')
    },
  )
})
