// Input that ends one connection must not disturb others: what is not TLS, not HTTP or not DERP, clients that stop reading, and
// logins that are refused. Against a live relay.

import { createServer } from 'node:http'
import { once } from 'node:events'
import { connect as connectTcp, type AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newKeyPair } from '#client/derp-client.ts'
import { concatBytes } from '#protocol/bytes.ts'
import { pingFrame, sendPacketFrame } from '#protocol/frames.ts'
import { upgradeRequest } from '#protocol/upgrade.ts'
import { checkedBy, LIMITS, LiveRelay } from '../support/live-relay.ts'
import { loginFrame } from '../support/login-frame.ts'
import { RawSocket } from '../support/raw-socket.ts'

const request = upgradeRequest('localhost', { isFastStart: true })
const packet = Buffer.alloc(1_000, 1)

let relay: LiveRelay
beforeAll(async () => {
  relay = await LiveRelay.start({ threadCount: 2 })
})
afterAll(async () => await relay[Symbol.asyncDispose]())

function login(key = newKeyPair()): Uint8Array {
  return loginFrame(relay.settings.nodeKey.publicKey, key)
}

/** Two clients log in before `disturb` and exchange a packet after it: the relay works on, and neither was disconnected. */
async function undisturbed(disturb: () => Promise<void>): Promise<void> {
  const [alice, bob] = [await relay.client(), await relay.client()]
  const closed: unknown[] = []
  for (const client of [alice, bob]) client.on('closed', (end) => closed.push(end))
  await disturb()
  const arrival = bob.next('packet')
  alice.send(bob.publicKey, packet)
  expect(Buffer.from((await arrival).packet)).toEqual(packet)
  expect(closed).toEqual([])
}

describe('invalid HTTP ends its own connection only', () => {
  it.each([
    ['garbage', Buffer.from('\u0000\u0001\u0002garbage\r\n\r\n')],
    ['an SSH client', Buffer.from('SSH-2.0-OpenSSH_9.2\r\n\r\n')],
    ['HTTP/2 without negotiation', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
    ['an endless head', Buffer.alloc(20_000, 'a')],
    ['a head with too many fields', Buffer.from(`GET / HTTP/1.1\r\n${'a: b\r\n'.repeat(200)}\r\n`)],
  ])('%s', async (_name, bytes) => {
    await undisturbed(async () => {
      const socket = await RawSocket.tls(relay.port)
      socket.send(bytes)
      expect((await socket.ended()).toString('latin1')).toMatch(/^HTTP\/1\.1 4\d\d /)
    })
  })

  it('TLS on a plain port, which is answered at once', async () => {
    await using plain = await LiveRelay.start({ certificate: undefined })
    const socket = await RawSocket.plain(plain.port)
    socket.send(Buffer.from('1603010200010001fc0303', 'hex'))
    expect((await socket.ended()).toString('latin1')).toMatch(/^HTTP\/1\.1 400 /)
  })

  it('plain HTTP on the TLS port', async () => {
    await undisturbed(async () => {
      const socket = await RawSocket.plain(relay.port)
      socket.send('GET / HTTP/1.1\r\n\r\n')
      await socket.ended()
    })
  })
})

describe('invalid DERP ends its own connection only', () => {
  const damagedLogin = (): Uint8Array => {
    const frame = login()
    frame[80] = (frame[80] ?? 0) ^ 1
    return frame
  }
  it.each([
    ['another frame before the login', () => sendPacketFrame(newKeyPair().publicKey, packet)],
    ['a damaged box', damagedLogin],
    ['a login of too many bytes', () => Buffer.from('0200040001', 'hex')],
    ['a login of too few', () => Buffer.concat([Buffer.from('0200000037', 'hex'), Buffer.alloc(55)])],
    ['a login for another server', () => loginFrame(newKeyPair().publicKey)],
  ])('%s', async (_name, frame) => {
    await undisturbed(async () => {
      const socket = await RawSocket.tls(relay.port)
      socket.send(concatBytes(request, frame()))
      // ServerKey and nothing else: a client that is not admitted gets no ServerInfo.
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

  it('a login that is replayed by somebody who has only seen it opens one more session of that key', async () => {
    await undisturbed(async () => {
      const frame = login()
      const [first, second] = [await RawSocket.tls(relay.port), await RawSocket.tls(relay.port)]
      // DERP keeps no nonces: TLS is its protection against replays. Both sessions have the usual limits.
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

it('a client that stops reading is closed, and delays no other client', { timeout: 20_000 }, async () => {
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
    // A client that does not read cannot see the end of its connection, until it reads again.
    await expect
      .poll(
        async () => {
          const gone = sender.next('peerGone')
          sender.send(key.publicKey, Buffer.concat([Buffer.from('5453f09f92ac', 'hex'), Buffer.alloc(56)]))
          return await Promise.race([gone.then(() => 'gone'), sender.ping().then(() => 'there')])
        },
        { timeout: 10_000 },
      )
      .toBe('gone')
    stuck.socket.resume()
    await closed
  })
})

it('closes connections over the accept limit', async () => {
  await using limited = await LiveRelay.start({
    limits: { ...LIMITS, acceptsPerSecond: 0.001, acceptBurst: 2 },
  })
  await limited.client()
  await limited.client()
  await expect(limited.client()).rejects.toThrow(/reset|closed|hang|disconnected|end/i)
})

describe('admission by URL', () => {
  it('asks with key and address, and keeps frames behind the login until the answer', async () => {
    const questions: unknown[] = []
    let answer: (() => void) | undefined
    const admissionService = createServer((ask, response) => {
      ask.setEncoding('utf8')
      ask.on('data', (text: string) => {
        questions.push([ask.headers['content-type'], JSON.parse(text)])
        answer = () => response.end('{"Allow":true}')
      })
    })
    admissionService.listen(0, '127.0.0.1')
    await once(admissionService, 'listening')
    const verifyUrl = `http://127.0.0.1:${(admissionService.address() as AddressInfo).port}/verify`
    const admission = checkedBy(verifyUrl)
    await using closed = await LiveRelay.start({ admission })
    const key = newKeyPair()
    const socket = await RawSocket.tls(closed.port)
    const ping = pingFrame(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))
    socket.send(concatBytes(request, loginFrame(closed.settings.nodeKey.publicKey, key), ping))
    await expect.poll(() => answer).toBeDefined()
    // One more frame, when the login is known to wait.
    socket.send(concatBytes(Buffer.from('7e00000001', 'hex'), Uint8Array.of(0)))
    expect(socket.received).toHaveLength(45)
    answer?.()
    const received = await socket.atLeast(45 + 58 + 13)
    expect(received.subarray(45 + 58).toString('hex')).toBe('13000000080102030405060708')
    expect(questions).toEqual([
      [
        undefined,
        { NodePublic: `nodekey:${Buffer.from(key.publicKey).toString('hex')}`, Source: '127.0.0.1' },
      ],
    ])
    socket.destroy()
    admissionService.close()
  })

  it.each([
    ['denies', '{"Allow":false}', 200],
    ['answers without a decision', '{}', 200],
    ['answers something else than JSON', 'oops', 200],
    ['fails', '{"Allow":true}', 500],
  ])('sends no ServerInfo when the admission service %s', async (_name, body, status) => {
    const admissionService = createServer((_ask, response) => {
      response.statusCode = status
      response.end(body)
    })
    admissionService.listen(0, '127.0.0.1')
    await once(admissionService, 'listening')
    const verifyUrl = `http://127.0.0.1:${(admissionService.address() as AddressInfo).port}/verify`
    const admission = checkedBy(verifyUrl, { verifyUrlFailOpen: true })
    await using closed = await LiveRelay.start({ admission })
    await expect(closed.client()).rejects.toThrow(/closed|end|refused|admit/i)
    admissionService.close()
  })

  it.each([
    [true, 'admits'],
    [false, 'refuses'],
  ])(
    'with fail-open %s %s clients while the admission service is unreachable',
    async (verifyUrlFailOpen, verb) => {
      const gone = connectTcp({ port: 1, host: '127.0.0.1' }).on('error', () => undefined)
      gone.destroy()
      const verifyUrl = 'http://127.0.0.1:1/verify'
      const admission = checkedBy(verifyUrl, { verifyUrlFailOpen })
      await using closed = await LiveRelay.start({ admission })
      if (verb === 'admits') await closed.client()
      else await expect(closed.client()).rejects.toThrow(/closed|end|refused|admit/i)
    },
  )
})
