// TLS by native calls of OpenSSL: a client of the runtime shakes hands and talks through a line that damages what it sends. What
// arrives is the beginning of what was sent, whatever the damage; nothing throws, and everything is freed. A wrong address would
// end the process.

import { Duplex } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { connect } from 'node:tls'
import { readHello } from '#protocol/tls-hello.ts'
import { selfTestContexts } from '#transport/handle-selftest.ts'
import { OpensslLayer } from '#transport/openssl-layer.ts'
import type {
  HandleOwner,
  HandleRequest,
  RuntimeHandles,
  TcpHandle,
  TlsHandle,
} from '#transport/runtime-handles.ts'
import { runtimeHandles } from '#transport/runtime-handles.ts'
import { Damage, DAMAGE_CORPUS, SENT, talk } from '../damage.ts'
import { pieces, type Random } from '../random.ts'
import { invariant, magnitude, type FuzzTarget } from '../target.ts'

const END_OF_STREAM = -4095
/** Turns without a byte on the line after which an attempt is over. */
const QUIET_TURNS = 12
/** Stands in for the TCP handle and for what receives the data. Takes its time with some writes. */
class Line implements HandleOwner {
  readonly received: Buffer[] = []
  readonly client: Duplex
  isBroken = false
  hasEnded = false
  isSecure = false
  /** Nothing was damaged, and nobody has ended the connection before its time. */
  isUndisturbed = true
  tls: TlsHandle | undefined
  activity = 0
  #wasAsync = false
  /** Writes that the system takes later; all that follow are taken later, too. */
  #waiting = 0
  #bytesRead = 0
  readonly #layer: OpensslLayer
  readonly #damage: Damage
  readonly #random: Random

  constructor(layer: () => OpensslLayer, script: Buffer, random: Random) {
    this.#layer = layer()
    this.#damage = new Damage(script)
    this.#random = random
    this.client = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        this.#fromClient(chunk)
        done()
      },
      final: (done) => {
        this.#end()
        done()
      },
    })
  }

  onRecords(): void {}

  #fromClient(chunk: Buffer): void {
    this.activity++
    const { bytes: damaged, isDamaged, isEnd } = this.#damage.next(chunk)
    this.isUndisturbed &&= !isDamaged
    if (this.tls === undefined) return this.#begin(damaged)
    for (const piece of pieces(damaged, this.#random.cuts(damaged.length))) {
      // What the system reads at once is no more.
      for (let at = 0; at < piece.length; at += 65_536) this.tls.receive(piece.subarray(at, at + 65_536))
    }
    if (isEnd) this.#end()
  }

  #begin(hello: Buffer): void {
    const choice = contexts.choose(readHello(hello), () => '')
    if (choice === undefined) throw new Error('no certificate')
    this.tls = this.#layer.begin(this.#tcp(), choice, { ...readHello(hello), offersProtocols: false })
    this.tls.owner = this
    this.#layer.receiveHello(this.tls, hello)
  }

  #tcp(): TcpHandle {
    const handle: Partial<TcpHandle> = {
      readStart: () => 0,
      readStop: () => 0,
      useUserBuffer: () => undefined,
      writeBuffer: (request, bytes) => this.#write(request, bytes),
      shutdown: (request) => {
        setImmediate(() => {
          this.client.push(null)
          request.oncomplete(0)
        })
        return 0
      },
    }
    this.#handle = handle as TcpHandle
    return this.#handle
  }

  #handle: TcpHandle | undefined

  #write(request: HandleRequest, bytes: Uint8Array): number {
    this.activity++
    this.#wasAsync = this.#waiting > 0 || this.#random.chance(3)
    if (!this.#wasAsync) this.client.push(Buffer.from(bytes))
    else {
      this.#waiting++
      setImmediate(() => {
        this.#waiting--
        // Read no sooner: until now nobody else may have used the buffer.
        this.client.push(Buffer.from(bytes))
        request.oncomplete(0)
      })
    }
    return 0
  }

  #end(): void {
    this.#bytesRead = END_OF_STREAM
    if (this.#handle !== undefined) this.#handle.onread()
  }

  get state(): { bytesRead: number; wasAsync: boolean } {
    return { bytesRead: this.#bytesRead, wasAsync: this.#wasAsync }
  }

  onRead(byteCount: number): void {
    this.activity++
    if (byteCount < 0) this.hasEnded = true
    else this.received.push(Buffer.from(this.#layer.readBuffer.subarray(0, byteCount)))
    const answer = Buffer.alloc(byteCount > 0 ? byteCount : 3, 7)
    const request: HandleRequest = { oncomplete: () => undefined }
    this.tls?.writeBuffer(request, answer)
    const isDestroyed = this.#random.chance(40)
    if (!isDestroyed && !this.#random.chance(20)) return
    this.isUndisturbed = false
    if (isDestroyed) this.tls?.destroySSL()
    else this.tls?.shutdown({ oncomplete: () => undefined })
  }

  onHandshakeDone(): void {
    this.isSecure = true
  }

  onTlsError(): void {
    this.isBroken = true
  }

  onWritten(): void {}
  onShutDown(): void {}
}

const contexts = selfTestContexts('TLSv1.3')
let layer: OpensslLayer | undefined
let current: Line | undefined

class Request implements HandleRequest {
  oncomplete: HandleRequest['oncomplete'] = () => undefined
}

async function attempt(input: Buffer, random: Random): Promise<string> {
  const line = new Line(() => layer as OpensslLayer, input, random)
  current = line
  const client = connect({
    socket: line.client,
    rejectUnauthorized: false,
    maxVersion: random.chance(3) ? 'TLSv1.2' : 'TLSv1.3',
  })
  client.on('error', () => undefined)
  client.on('secureConnect', () => void talk(client))
  client.resume()
  for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
    const before = line.activity
    await nextTurn()
    if (line.activity !== before) quiet = 0
  }
  client.destroy()
  line.tls?.destroySSL()
  for (let turn = 0; turn < 3; turn++) await nextTurn()
  const received = Buffer.concat(line.received)
  invariant(received.equals(SENT.subarray(0, received.length)), 'other bytes arrive than were sent')
  invariant(
    !line.isUndisturbed || received.length === SENT.length,
    `${received.length} bytes arrive: ${line.isSecure} ${line.isBroken} ${line.hasEnded}`,
  )
  invariant(layer?.buffers.memory.connectionCount === 0, 'a connection is not freed')
  invariant(layer?.buffers.lentBytes === 0, 'a buffer is not given back')
  return [line.isSecure, line.isBroken, line.hasEnded, magnitude(received.length)].join(' ')
}

const tlsRecords: FuzzTarget = {
  name: 'tls-records',
  waits: true,
  inputBytesMax: 96,
  corpus: DAMAGE_CORPUS,
  attempt,
  open: async () => {
    const handles: RuntimeHandles = {
      ...runtimeHandles(),
      WriteRequest: Request,
      bytesRead: () => current?.state.bytesRead ?? 0,
      wasAsync: () => current?.state.wasAsync ?? false,
    }
    layer = await OpensslLayer.open(handles, contexts)
  },
  close: async () => {
    await nextTurn()
    layer?.close()
  },
}

export const TLS_TARGETS: readonly FuzzTarget[] = [tlsRecords]
