// Tests at each start whether the runtime's handles, and OpenSSL by native calls, work as handle-connection.ts expects. The relay
// sends bytes to itself over loopback, with TLS if it will serve TLS, and they must come back unchanged. A fault found here would
// affect clients; then the relay takes another way and logs the reason. Runs on each relay thread, before it listens.

import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { certificatePem, selfSignedCertificate } from '#protocol/self-signed.ts'
import { Counters } from '#relay/counters.ts'
import type { LinkListener } from '#relay/ports.ts'
import type { Connection } from './connection.ts'
import { HandleAcceptor, type HandleAcceptorParts } from './handle-acceptor.ts'
import { OpensslLayer } from './openssl-layer.ts'
import { NO_FLUSH_CONTROL } from './read-state.ts'
import { ReadScheduler } from './read-scheduler.ts'
import { runtimeHandles, type RuntimeHandles } from './runtime-handles.ts'
import { TlsContexts } from './tls-contexts.ts'
import { RuntimeTlsLayer } from './tls-layer.ts'
import type { TlsMaxVersion } from './tls-identity.ts'

/** More than all buffers between both ends hold at first, so that reading is paused and writing has to wait. */
const TEST_BYTES = 4_194_304
/** The test takes some tens of milliseconds. */
const TEST_TIMEOUT_MS = 5_000
/** A connection is freed a turn or two after it was destroyed. */
const FREED_TURNS_MAX = 100

/**
 * The handles of this runtime, after the test. Rejects with what is wrong with them.
 *
 * @param tls with a certificate; undefined for plain TCP
 */
export async function testedHandles(tls: TlsContexts | undefined): Promise<RuntimeHandles> {
  const handles = runtimeHandles()
  await testEcho({ handles, tls, tlsLayer: tls && new RuntimeTlsLayer(handles) })
  return handles
}

/**
 * TLS by native calls for connections that get their certificates from `contexts`, after the test with each version. Rejects
 * with what is wrong with it.
 *
 * @param handles tested
 */
export async function testedOpenssl(
  handles: RuntimeHandles,
  maxVersion: TlsMaxVersion,
  contexts: TlsContexts,
): Promise<OpensslLayer> {
  for (const version of new Set(['TLSv1.2', maxVersion] as const)) {
    const tls = selfTestContexts(version)
    const layer = await OpensslLayer.open(handles, tls)
    try {
      await testEcho({ handles, tls, tlsLayer: layer })
      const { memory } = layer.buffers
      for (let turns = 0; turns < FREED_TURNS_MAX && memory.connectionCount > 0; turns++) {
        await new Promise(setImmediate)
      }
      if (memory.madeCount === 0) throw new Error('the connection was not of OpenSSL')
      if (memory.connectionCount > 0) throw new Error('the connection has ended and is not freed')
    } finally {
      layer.close()
    }
  }
  return await OpensslLayer.open(handles, contexts)
}

/** Four megabytes to an acceptor and back. */
async function testEcho(parts: Pick<HandleAcceptorParts, 'handles' | 'tls' | 'tlsLayer'>): Promise<void> {
  const now = (): number => performance.now()
  const acceptor = new HandleAcceptor({
    ...parts,
    counters: new Counters(),
    keepAliveMs: 0,
    userTimeoutMs: 0,
    native: undefined,
    threadCount: 1,
    now,
    scheduler: new ReadScheduler(now, () => 0, NO_FLUSH_CONTROL),
    host: { tryAccept: () => true, onConnection: (connection) => connection.attach(new Echo(connection)) },
  })
  try {
    const { port } = await acceptor.listen({ host: '127.0.0.1', port: 0 }, false)
    const address = { port, host: '127.0.0.1' }
    if (parts.tls === undefined) await assertEchoed(connectTcp(address), 'connect')
    else await assertEchoed(connectTls({ ...address, rejectUnauthorized: false }), 'secureConnect')
  } finally {
    await acceptor.close()
  }
}

/** With a certificate for the test alone: the relay may have none yet. */
export function selfTestContexts(maxVersion: TlsMaxVersion): TlsContexts {
  const key = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey
  const nowMs = Date.now()
  const certificate = selfSignedCertificate({
    names: ['localhost'],
    key,
    serial: randomBytes(16),
    fromMs: nowMs,
    untilMs: nowMs + TEST_TIMEOUT_MS,
  })
  const pem = {
    certificate: certificatePem(certificate),
    key: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  }
  const contexts = new TlsContexts(maxVersion)
  contexts.use({ certificates: [{ names: ['localhost'], pem }], meta: '', challenges: [] })
  return contexts
}

/** @param openEvent the socket's event when it can carry bytes */
async function assertEchoed(socket: Socket, openEvent: string): Promise<void> {
  const timer = setTimeout(
    () => socket.destroy(new Error(`no echo within ${TEST_TIMEOUT_MS} ms`)),
    TEST_TIMEOUT_MS,
  )
  try {
    await once(socket, openEvent)
    const sent = randomBytes(TEST_BYTES)
    socket.write(sent)
    const hash = createHash('sha256')
    let byteCount = 0
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      hash.update(chunk)
      byteCount += chunk.length
      if (byteCount >= TEST_BYTES) socket.end()
    }
    const isEqual = hash.digest().equals(createHash('sha256').update(sent).digest())
    if (!isEqual) throw new Error(`${byteCount} bytes came back, but not those that were sent`)
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

/** Echoes all received bytes, one burst at a time. */
class Echo implements LinkListener {
  readonly #connection: Connection
  #waiting: Buffer[] = []
  #isWriting = false

  constructor(connection: Connection) {
    this.#connection = connection
  }

  receive(chunk: Buffer, start: number, end: number): void {
    this.#waiting.push(Buffer.from(chunk.subarray(start, end)))
    if (!this.#isWriting) this.#write()
    else this.#connection.pause()
  }

  written(): void {
    this.#isWriting = false
    this.#connection.resume()
    if (this.#waiting.length > 0) this.#write()
  }

  closed(): void {}

  #write(): void {
    const burst = this.#waiting
    this.#waiting = []
    this.#isWriting = true
    for (const [at, part] of burst.entries()) this.#connection.write(part, at === burst.length - 1)
  }
}
