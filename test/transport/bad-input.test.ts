import { createServer } from 'node:http'
import { once } from 'node:events'
import { connect as connectTcp, type AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { BoxSecret } from '#protocol/box.ts'
import { concatBytes } from '#protocol/bytes.ts'
import { pingFrame, sendPacketFrame } from '#protocol/frames.ts'
import { clientInfoFrame } from '#protocol/handshake.ts'
import { upgradeRequest } from '#protocol/upgrade.ts'
import { LIMITS, LiveRelay } from '../support/live-relay.ts'
import { RawSocket } from '../support/raw-socket.ts'

const request = upgradeRequest('localhost', { isFastStart: true })
const packet = Buffer.alloc(1_000, 1)

let relay: LiveRelay
beforeAll(async () => {
  relay = await LiveRelay.start({ threadCount: 2 })
})
afterAll(async () => await relay[Symbol.asyncDispose]())

function login(key = newKeyPair()): Uint8Array {
  const box = new BoxSecret(key.privateKey).agree(relay.settings.nodeKey.publicKey)
  if (box === undefined) throw new Error('no box')
  return clientInfoFrame(key.publicKey, {}, box, new Uint8Array(24).fill(9))
}

/** Two clients talk before and after what is done between: the relay lives, and they were not disturbed. */
async function undisturbed(what: () => Promise<void>): Promise<void> {
  const [alice, bob] = [await relay.client(), await relay.client()]
  const closed: unknown[] = []
  for (const client of [alice, bob]) client.on('closed', (end) => closed.push(end))
  await what()
  const arrival = bob.next('packet')
  alice.send(bob.publicKey, packet)
  expect(Buffer.from((await arrival).packet)).toEqual(packet)
  expect(closed).toEqual([])
}

describe('what is not HTTP ends its connection alone', () => {
  it.each([
    ['garbage', Buffer.from('\u0000\u0001\u0002garbage\r\n\r\n')],
    ['an SSH client', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n\r\n')],
    ['HTTP/2 without being asked', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
    ['a head without end', Buffer.alloc(20_000, 'a')],
    ['a head of too many fields', Buffer.from(`GET / HTTP/1.1\r\n${'a: b\r\n'.repeat(200)}\r\n`)],
  ])('%s', async (_name, bytes) => {
    await undisturbed(async () => {
      const socket = await RawSocket.tls(relay.port)
      socket.send(bytes)
      expect((await socket.ended()).toString('latin1')).toMatch(/^HTTP\/1\.1 4\d\d /)
    })
  })

  it('TLS on a plain port, at once and in words', async () => {
    await using plain = await LiveRelay.start({ certificate: undefined })
    const socket = await RawSocket.plain(plain.port)
    socket.send(Buffer.from('1603010200010001fc0303', 'hex'))
    expect((await socket.ended()).toString('latin1')).toMatch(/^HTTP\/1\.1 400 /)
  })

  it('what is not TLS at all', async () => {
    await undisturbed(async () => {
      const socket = await RawSocket.plain(relay.port)
      socket.send('GET / HTTP/1.1\r\n\r\n')
      await socket.ended()
    })
  })
})

describe('what is not DERP ends its connection alone', () => {
  const flipped = (): Uint8Array => {
    const frame = login()
    frame[80] = (frame[80] ?? 0) ^ 1
    return frame
  }
  it.each([
    ['another frame before the login', () => sendPacketFrame(newKeyPair().publicKey, packet)],
    ['a wrong box', flipped],
    ['a login of too many bytes', () => Buffer.from('0200040001', 'hex')],
    ['a login of too few', () => Buffer.concat([Buffer.from('0200000037', 'hex'), Buffer.alloc(55)])],
    [
      'a login for another server',
      () => {
        const [key, other] = [newKeyPair(), newKeyPair()]
        const box = new BoxSecret(key.privateKey).agree(other.publicKey)
        return clientInfoFrame(
          key.publicKey,
          {},
          box ??
            (() => {
              throw new Error('no box')
            })(),
          new Uint8Array(24),
        )
      },
    ],
  ])('%s', async (_name, frame) => {
    await undisturbed(async () => {
      const socket = await RawSocket.tls(relay.port)
      socket.send(concatBytes(request, frame()))
      // ServerKey and nothing else: no ServerInfo for who is not admitted.
      expect(await socket.ended()).toHaveLength(45)
    })
  })

  it.each([
    ['an oversized packet', () => Buffer.from('0400010021', 'hex')],
    ['an undersized packet', () => Buffer.from('040000001f', 'hex')],
    ['an oversized unknown frame', () => Buffer.from('7e00010021', 'hex')],
    ['a mesh frame without the mesh key', () => Buffer.from('1000000000', 'hex')],
    ['an oversized ping', () => Buffer.from('12000003e9', 'hex')],
  ])('%s', async (_name, header) => {
    await undisturbed(async () => {
      const socket = await RawSocket.tls(relay.port)
      socket.send(concatBytes(request, login(), header()))
      await socket.ended()
    })
  })

  it('a login that is said twice, by someone who has only seen it, opens nothing but the same door', async () => {
    await undisturbed(async () => {
      const frame = login()
      const [first, second] = [await RawSocket.tls(relay.port), await RawSocket.tls(relay.port)]
      // DERP keeps no nonces: TLS is its replay protection. What must hold is that both stay bounded sessions.
      for (const socket of [first, second]) {
        socket.send(concatBytes(request, frame))
        await socket.atLeast(45 + 58)
        socket.destroy()
      }
    })
  })

  it('a reset in the middle of a frame', async () => {
    await undisturbed(async () => {
      const socket = await RawSocket.plain(relay.port)
      socket.socket.resetAndDestroy()
      const tls = await RawSocket.tls(relay.port)
      tls.send(concatBytes(request, login(), Buffer.from('0400010020', 'hex')))
      await tls.atLeast(45 + 58)
      tls.destroy()
    })
  })
})

it('a client that stops reading is closed, and nobody else waits for it', { timeout: 20_000 }, async () => {
  const stuck = await RawSocket.tls(relay.port)
  const key = newKeyPair()
  stuck.send(concatBytes(request, login(key)))
  await stuck.atLeast(45 + 58)
  stuck.socket.pause()
  await undisturbed(async () => {
    const sender = await relay.client()
    const closed = once(stuck.socket, 'close')
    const big = Buffer.alloc(65_536)
    // Fills the outbox and the system's buffers on both sides.
    for (let i = 0; i < 400; i++) {
      sender.send(key.publicKey, big)
      if (i % 16 === 0) await sender.ping()
    }
    // Whoever does not read can't see the end either, until it reads again.
    await expect
      .poll(
        async () => {
          const left = sender.next('peerGone')
          sender.send(key.publicKey, Buffer.concat([Buffer.from('5453f09f92ac', 'hex'), Buffer.alloc(56)]))
          return await Promise.race([left.then(() => 'gone'), sender.ping().then(() => 'there')])
        },
        { timeout: 10_000 },
      )
      .toBe('gone')
    stuck.socket.resume()
    await closed
  })
})

it('refuses logins over the accept limit by closing them', async () => {
  await using limited = await LiveRelay.start({
    limits: { ...LIMITS, acceptsPerSecond: 0.001, acceptBurst: 2 },
  })
  await limited.client()
  await limited.client()
  await expect(limited.client()).rejects.toThrow(/reset|closed|hang|disconnected|end/i)
})

describe('admission by URL', () => {
  it('asks with key and address, and keeps what came with the login until it is answered', async () => {
    const asked: unknown[] = []
    let answer: (() => void) | undefined
    const admissionService = createServer((ask, response) => {
      ask.setEncoding('utf8')
      ask.on('data', (text: string) => {
        asked.push([ask.headers['content-type'], JSON.parse(text)])
        answer = () => response.end('{"Allow":true}')
      })
    })
    admissionService.listen(0, '127.0.0.1')
    await once(admissionService, 'listening')
    const verifyUrl = `http://127.0.0.1:${(admissionService.address() as AddressInfo).port}/verify`
    const admission = { isOpen: false, verifyUrl, verifyUrlFailOpen: false, tailscaledSocket: undefined }
    await using closed = await LiveRelay.start({ admission })
    const key = newKeyPair()
    const box = new BoxSecret(key.privateKey).agree(closed.settings.nodeKey.publicKey)
    if (box === undefined) throw new Error('no box')
    const socket = await RawSocket.tls(closed.port)
    const ping = pingFrame(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))
    socket.send(concatBytes(request, clientInfoFrame(key.publicKey, {}, box, new Uint8Array(24)), ping))
    await expect.poll(() => answer).toBeDefined()
    // More, after the login was seen to wait.
    socket.send(concatBytes(Buffer.from('7e00000001', 'hex'), Uint8Array.of(0)))
    expect(socket.received).toHaveLength(45)
    answer?.()
    const received = await socket.atLeast(45 + 58 + 13)
    expect(received.subarray(45 + 58).toString('hex')).toBe('13000000080102030405060708')
    expect(asked).toEqual([
      [
        undefined,
        { NodePublic: `nodekey:${Buffer.from(key.publicKey).toString('hex')}`, Source: '127.0.0.1' },
      ],
    ])
    socket.destroy()
    admissionService.close()
  })

  it.each([
    ['says no', '{"Allow":false}', 200],
    ['says nothing', '{}', 200],
    ['is broken', 'oops', 200],
    ['fails', '{"Allow":true}', 500],
  ])('sends no ServerInfo when the admission service %s', async (_name, body, status) => {
    const admissionService = createServer((_ask, response) => {
      response.statusCode = status
      response.end(body)
    })
    admissionService.listen(0, '127.0.0.1')
    await once(admissionService, 'listening')
    const verifyUrl = `http://127.0.0.1:${(admissionService.address() as AddressInfo).port}/verify`
    const admission = { isOpen: false, verifyUrl, verifyUrlFailOpen: true, tailscaledSocket: undefined }
    await using closed = await LiveRelay.start({ admission })
    await expect(closed.client()).rejects.toThrow(/closed|end|refused|admit/i)
    admissionService.close()
  })

  it.each([
    [true, 'admits'],
    [false, 'refuses'],
  ])('with fail-open %s %s clients when the admission service is away', async (verifyUrlFailOpen, verb) => {
    const gone = connectTcp({ port: 1, host: '127.0.0.1' }).on('error', () => undefined)
    gone.destroy()
    const verifyUrl = 'http://127.0.0.1:1/verify'
    const admission = { isOpen: false, verifyUrl, verifyUrlFailOpen, tailscaledSocket: undefined }
    await using closed = await LiveRelay.start({ admission })
    if (verb === 'admits') await closed.client()
    else await expect(closed.client()).rejects.toThrow(/closed|end|refused|admit/i)
  })
})
