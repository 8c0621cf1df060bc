// A DERP client over a fake link: logs in with a real handshake, sends frames, and reads what it receives with the
// frame reader, as one readable line per frame. Not the project's own client, which has its own tests: this one may
// break every rule.

import { BufferPool } from '#protocol/buffer-pool.ts'
import { toHex } from '#protocol/bytes.ts'
import { FrameReader, FrameAction, type FrameSink } from '#protocol/frame-reader.ts'
import { FrameType, GoneReason } from '#protocol/frame-type.ts'
import { readPeerGone, readPeerPresent, sendPacketFrame } from '#protocol/frames.ts'
import { clientInfoFrame, openServerInfo, readServerKey, type ClientInfo } from '#protocol/handshake.ts'
import { ipToText } from '#protocol/ip-address.ts'
import { sha256 } from '../vectors/hex.ts'
import { nameOf, type Actor } from './actor.ts'
import type { FakeLink } from './fake-link.ts'

/** Packets longer than this appear by length and hash. */
const SHOWN_BYTES_MAX = 70

let nonceCount = 0

/** 24 bytes that were never used before. */
export function freshNonce(): Uint8Array {
  return sha256(`nonce ${nonceCount++}`).subarray(0, 24)
}

/** How a packet appears in lines. */
export function packetText(packet: Uint8Array): string {
  if (packet.length <= SHOWN_BYTES_MAX) return `<${toHex(packet)}>`
  return `<${packet.length} B ${sha256(packet).toString('hex', 0, 8)}>`
}

/** The line of a packet that arrived. */
export function packetLine(from: Actor, packet: Uint8Array): string {
  return `RecvPacket from ${from.name} ${packetText(packet)}`
}

export type FrameHandler = (type: number, buffer: Buffer, start: number, end: number) => void

export class MemoryClient implements FrameSink {
  readonly actor: Actor
  readonly link: FakeLink
  /** The relay that it is connected to. */
  readonly server: Actor
  /** All bytes received. */
  readonly received: Buffer[] = []
  /** The HTTP answer before the first frame, if one was asked for. */
  httpAnswer = ''
  /** Receives the frames; there are no lines then. */
  onFrameReceived: FrameHandler | undefined = undefined
  readonly #settle: () => void
  readonly #reader = new FrameReader(this, new BufferPool())
  #wantsAnswer: boolean
  #lines: string[] = []

  constructor(
    actor: Actor,
    link: FakeLink,
    options: { server: Actor; wantsAnswer: boolean; settle: () => void },
  ) {
    this.actor = actor
    this.server = options.server
    this.link = link
    this.#settle = options.settle
    this.#wantsAnswer = options.wantsAnswer
  }

  get isClosed(): boolean {
    return this.link.isClosed
  }

  /** Sends ClientInfo and lets the relay answer; `take` returns the answer. */
  logIn(info: Partial<ClientInfo> = {}): this {
    return this.send(this.clientInfo(info)).settled()
  }

  clientInfo(info: Partial<ClientInfo> = {}): Uint8Array {
    return clientInfoFrame(this.actor.key, info, this.actor.boxWith(this.server), freshNonce())
  }

  /** A ClientInfo frame with any text in its box. */
  clientInfoWith(text: string): Uint8Array {
    const sealed = this.actor.boxWith(this.server).seal(freshNonce(), Buffer.from(text))
    const header = Buffer.alloc(5)
    header[0] = FrameType.clientInfo
    header.writeUInt32BE(this.actor.key.length + sealed.length, 1)
    return Buffer.concat([header, this.actor.key, sealed])
  }

  /** Sends bytes, all in one piece. */
  send(...parts: Uint8Array[]): this {
    this.link.send(Buffer.concat(parts))
    return this
  }

  sendPacket(to: Actor, packet: Uint8Array): this {
    return this.send(sendPacketFrame(to.key, packet))
  }

  /** Ends the connection from this side. */
  hangUp(): void {
    this.link.hangUp()
    this.#settle()
  }

  settled(): this {
    this.#settle()
    return this
  }

  /** Lets everything settle. Returns one line for each frame received since the last call. */
  take(): string[] {
    this.#settle()
    const lines = this.#lines
    this.#lines = []
    return lines
  }

  /** Bytes arrive from the relay. */
  receive(bytes: Buffer): void {
    let start = 0
    if (this.#wantsAnswer) {
      this.#wantsAnswer = false
      start = bytes.indexOf('\r\n\r\n') + 4
      this.httpAnswer = bytes.toString('latin1', 0, start)
    }
    if (this.onFrameReceived === undefined) this.received.push(bytes)
    this.#reader.feed(bytes, start, bytes.length)
  }

  onHeader(): FrameAction {
    return FrameAction.accept
  }

  onFrame(type: number, buffer: Buffer, start: number, end: number): boolean {
    if (this.onFrameReceived !== undefined) this.onFrameReceived(type, buffer, start, end)
    else this.#lines.push(this.#line(type, Buffer.from(buffer.subarray(start, end))))
    return true
  }

  #line(type: number, payload: Buffer): string {
    switch (type) {
      case FrameType.serverKey:
        return `ServerKey ${nameOf(readServerKey(payload) ?? payload)}`
      case FrameType.serverInfo: {
        const info = openServerInfo(payload, this.actor.boxWith(this.server))
        if (info === undefined) return 'ServerInfo that does not open'
        const run = info.instance === undefined ? '' : ` of ${info.instance}`
        const { tokenBucketBytesPerSecond: rate, tokenBucketBytesBurst: burst } = info
        const limit = rate === 0 ? '' : `, ${rate} bytes/s after ${burst}`
        return `ServerInfo version ${info.version}${run}${limit}`
      }
      case FrameType.recvPacket:
        return `RecvPacket from ${nameOf(payload.subarray(0, 32))} ${packetText(payload.subarray(32))}`
      case FrameType.keepAlive:
        return `KeepAlive${packetText(payload).slice(1, -1)}`
      case FrameType.peerGone:
        return peerGoneLine(payload)
      case FrameType.peerPresent:
        return peerPresentLine(payload)
      case FrameType.pong:
        return `Pong ${packetText(payload)}`
      case FrameType.health:
        return `Health ${JSON.stringify(payload.toString())}`
      case FrameType.restarting:
        return `Restarting ${payload.readUInt32BE(0)} ms, ${payload.readUInt32BE(4)} ms`
      default:
        return `frame ${type} ${packetText(payload)}`
    }
  }
}

function peerGoneLine(payload: Buffer): string {
  const gone = readPeerGone(payload)
  if (gone === undefined || payload.length !== 33) return `invalid PeerGone ${packetText(payload)}`
  if (gone.reason === GoneReason.disconnected) return `PeerGone ${nameOf(gone.key)} disconnected`
  return `PeerGone ${nameOf(gone.key)} ${gone.reason === GoneReason.notHere ? 'not here' : gone.reason}`
}

function peerPresentLine(payload: Buffer): string {
  const present = readPeerPresent(payload)
  if (present?.appName === undefined) return `invalid PeerPresent ${packetText(payload)}`
  const { key, ip, port, flags, appName } = present
  const name = appName === '' ? '' : ` app ${appName}`
  return `PeerPresent ${nameOf(key)} ${ipToText(ip)}:${port} flags ${flags}${name}`
}
