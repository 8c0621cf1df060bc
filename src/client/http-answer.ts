// Reads a server's answer to an upgrade request, for a DERP stream or a WebSocket: the head, and of a refusal the start of
// the body, in which servers give the reason. Bytes behind the head of a 101 belong to the stream and are left alone.

import { HTTP_HEAD_BYTES_MAX, httpHeadEnd, parseHttpHead, type HttpHead } from '#protocol/http-head.ts'
import { webSocketAccept } from '#protocol/web-socket-handshake.ts'
import { DerpConnectError } from './connect-error.ts'

/** Tailscale's clients show as much of a refusal. */
const REFUSAL_BODY_BYTES_MAX = 1_024

export class HttpAnswer {
  #collected = Buffer.alloc(0)
  #head: HttpHead | undefined
  #headBytes = 0
  #error: DerpConnectError | undefined

  /** The error of a complete refusal or of an invalid answer; undefined while neither is certain. */
  get error(): DerpConnectError | undefined {
    return this.#error
  }

  /** The complete head of a 101. */
  get head(): HttpHead | undefined {
    return this.#status === 101 ? this.#head : undefined
  }

  /** The head as received; empty while incomplete. */
  get headText(): string {
    return this.#collected.toString('latin1', 0, this.#headBytes)
  }

  /** Reads chunk[start, end). Returns the position where the stream begins: `end`, unless the head is that of a 101. */
  feed(chunk: Buffer, start: number, end: number): number {
    const before = this.#collected.length
    this.#collected = Buffer.concat([this.#collected, chunk.subarray(start, end)])
    if (this.#head === undefined) this.#readHead()
    if (this.head !== undefined) return start + this.#headBytes - before
    if (this.#head !== undefined && this.#hasWholeBody()) this.#refuse()
    return end
  }

  /** No more bytes will be read. Returns the refusal, if its head has arrived. */
  giveUp(): DerpConnectError | undefined {
    if (this.#error === undefined && this.#head !== undefined && this.#status !== 101) this.#refuse()
    return this.#error
  }

  get #status(): number {
    return Number(this.#head?.firstLine[1])
  }

  #readHead(): void {
    const headEnd = httpHeadEnd(this.#collected, 0, this.#collected.length)
    if (headEnd < 0) {
      if (this.#collected.length > HTTP_HEAD_BYTES_MAX) this.#fail('the HTTP answer has no end')
      return
    }
    const head = parseHttpHead(this.#collected, 0, headEnd)
    if (head === undefined || !head.firstLine[0].startsWith('HTTP/1.')) {
      this.#fail('the server did not answer in HTTP/1.1')
      return
    }
    this.#head = head
    this.#headBytes = headEnd
  }

  #hasWholeBody(): boolean {
    const length = this.#head?.fields.get('content-length')
    const expected =
      length === undefined ? REFUSAL_BODY_BYTES_MAX : Math.min(Number(length), REFUSAL_BODY_BYTES_MAX)
    return this.#collected.length - this.#headBytes >= expected
  }

  #refuse(): void {
    const [, status = '', reason = ''] = this.#head?.firstLine ?? []
    const body = this.#collected
      .toString('utf8', this.#headBytes, this.#headBytes + REFUSAL_BODY_BYTES_MAX)
      .trim()
    const suffix = body === '' ? '' : `: ${JSON.stringify(body)}`
    this.#fail(`the server answered ${`${status} ${reason}`.trim()}${suffix}`, this.#status)
  }

  #fail(message: string, status?: number): void {
    this.#error = new DerpConnectError('upgrade', message, status === undefined ? {} : { status })
  }
}

/** What is wrong with a 101 as the answer to a WebSocket request with this key; undefined if nothing is. */
export function webSocketProblem(head: HttpHead, key: string): string | undefined {
  const upgrade = head.fields.get('upgrade')?.toLowerCase()
  if (upgrade !== 'websocket') return `expected "Upgrade: websocket", got ${JSON.stringify(upgrade)}`
  if (head.fields.get('sec-websocket-accept') !== webSocketAccept(key)) {
    return 'Sec-WebSocket-Accept does not belong to the key that was sent'
  }
  const protocol = head.fields.get('sec-websocket-protocol')
  return protocol === 'derp' ? undefined : `expected the subprotocol "derp", got ${JSON.stringify(protocol)}`
}

/** The request for a WebSocket that carries DERP; `key` is 16 random bytes in base64. */
export function webSocketRequest(hostField: string, path: string, key: string): Uint8Array {
  return Buffer.from(
    `GET ${path} HTTP/1.1\r\n` +
      `Host: ${hostField}\r\n` +
      'Connection: Upgrade\r\n' +
      'Upgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\n' +
      `Sec-WebSocket-Key: ${key}\r\n` +
      'Sec-WebSocket-Protocol: derp\r\n' +
      '\r\n',
  )
}
