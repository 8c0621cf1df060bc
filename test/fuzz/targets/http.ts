// HTTP and WebSocket: heads, requested protocols, answers, frames and handshakes.

import { HttpAnswer, webSocketProblem } from '#client/http-answer.ts'
import { WebSocketStream, type WebSocketHandler } from '#client/web-socket-stream.ts'
import { hasBody, hasToken, httpHeadEnd, parseHttpHead } from '#protocol/http-head.ts'
import { upgradeRequest, requestedProtocol } from '#protocol/upgrade.ts'
import { handshakeFault, switchingToWebSocket } from '#protocol/web-socket-handshake.ts'
import { closeFrame, PINGS_MAX, WebSocketReader, webSocketHeader } from '#protocol/web-socket.ts'
import * as login from '../../vectors/login.ts'
import { pieces } from '../random.ts'
import { magnitude, invariant, same, texts, type FuzzTarget } from '../target.ts'

const REQUESTS = texts(
  login.request,
  login.fastStartRequest,
  'GET /derp HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: derp\r\nSec-WebSocket-Version: 13\r\n\r\n',
  'GET / HTTP/1.0\n\n',
  'POST http://a/derp?x=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n',
)
const REQUEST_TOKENS = [
  'GET ',
  ' HTTP/1.1',
  'Host: ',
  'Upgrade: ',
  'DERP',
  'websocket',
  'Derp-Fast-Start: 1',
  '\r\n\r\n',
]

const httpHead: FuzzTarget = {
  name: 'http-head',
  corpus: REQUESTS,
  tokens: [...REQUEST_TOKENS, 'Ideal-Node: ', '/derp', 'Transfer-Encoding: chunked', '\n\n', '\n\r\n'],
  attempt(input, random) {
    const end = httpHeadEnd(input, 0, input.length)
    const naive = /\n\r?\n/.exec(input.toString('latin1'))
    same(end, naive === null ? -1 : naive.index + naive[0].length, 'the end of the head')
    // The end of a head that arrives in pieces is not found before it is complete.
    const shorter = random.below(input.length + 1)
    same(
      httpHeadEnd(input, 0, shorter),
      end >= 0 && end <= shorter ? end : -1,
      `the end among ${shorter} bytes`,
    )
    const head = end < 0 ? undefined : parseHttpHead(input, 0, end)
    if (head === undefined) return `${end < 0}`
    invariant(head.fields.size <= 102, 'too many fields')
    for (const name of head.fields.keys()) invariant(name === name.toLowerCase(), `a field's name is ${name}`)
    return `${head.firstLine[0].slice(0, 8)} ${magnitude(head.fields.size)} ${head.firstLine[2].slice(0, 9)}`
  },
}

const upgrade: FuzzTarget = {
  name: 'requested-protocol',
  corpus: REQUESTS,
  tokens: [...REQUEST_TOKENS, 'Ideal-Node: 900a', 'derp-fast-start: 0', '/derp', '/derp/', 'https://', '?'],
  attempt(input, random) {
    const end = httpHeadEnd(input, 0, input.length)
    const head = end < 0 ? undefined : parseHttpHead(input, 0, end)
    const requested = head === undefined ? undefined : requestedProtocol(head)
    if (requested?.kind === 'derp') invariant(requested.idealNode.length <= 63, 'a name that is too long')
    const idealNode = input
      .toString('latin1')
      .replaceAll(/[^\x21-\x7e]/g, '')
      .slice(0, 63)
    const isFastStart = random.chance(2)
    const request = Buffer.from(
      upgradeRequest('h', { isFastStart, ...(idealNode === '' ? {} : { idealNode }) }),
    )
    const asked = parseHttpHead(request, 0, httpHeadEnd(request, 0, request.length))
    same(
      asked && requestedProtocol(asked),
      { kind: 'derp', isFastStart, idealNode },
      'the protocol of the own request',
    )
    return JSON.stringify(requested ?? 'none').slice(0, 60)
  },
}

function answerOf(chunks: readonly Buffer[]): unknown {
  const answer = new HttpAnswer()
  let rest = 0
  for (const chunk of chunks) {
    // A reader stops at an error, and where the stream begins.
    if (answer.error !== undefined || answer.head !== undefined) rest += chunk.length
    else rest += chunk.length - answer.feed(chunk, 0, chunk.length)
  }
  answer.giveUp()
  return { head: answer.head, isRefused: answer.error?.status, rest: answer.head === undefined ? 0 : rest }
}

const httpAnswer: FuzzTarget = {
  name: 'http-answer',
  corpus: texts(
    `${login.switchingProtocols}frames`,
    'HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno.\n',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: derp\r\n' +
      `Sec-WebSocket-Accept: ${login.webSocketHandshake.accept}\r\n\r\n\x82\x01a`,
    'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n',
  ),
  tokens: ['HTTP/1.1 ', '101', '503', 'Content-Length: ', 'Upgrade: ', '\r\n\r\n', 'Sec-WebSocket-Accept: '],
  attempt(input, random) {
    // The bytes behind a head that is too long may be read or not; it is refused in any case.
    const whole = answerOf([input])
    if (input.length < 16_000)
      same(answerOf(pieces(input, random.cuts(input.length))), whole, 'a response in pieces')
    const { head } = whole as { head: ReturnType<typeof parseHttpHead> }
    const problem = head === undefined ? 'no head' : webSocketProblem(head, login.webSocketHandshake.key)
    return `${(problem ?? 'none').slice(0, 30)} ${JSON.stringify((whole as { isRefused: unknown }).isRefused)}`
  },
}

class RecordingHandler implements WebSocketHandler {
  payload = Buffer.alloc(0)
  readonly replyBytes: number[] = []
  end = ''

  onPayload(buffer: Buffer, start: number, end: number): void {
    invariant(this.end === '', 'payload after the end')
    this.payload = Buffer.concat([this.payload, buffer.subarray(start, end)])
  }

  onReply(bytes: Buffer): void {
    this.replyBytes.push(bytes.length)
  }

  onClose(code: number, text: string): void {
    invariant(this.end === '', 'two ends')
    this.end = `close ${code} ${text}`
  }

  onViolation(message: string): void {
    invariant(this.end === '', 'two ends')
    this.end = message
  }
}

function receive(chunks: readonly Buffer[]): RecordingHandler {
  const handler = new RecordingHandler()
  const socket = new WebSocketStream(handler, 40_000)
  for (const chunk of chunks) socket.receive(chunk, 0, chunk.length)
  return handler
}

const webSocket: FuzzTarget = {
  name: 'web-socket',
  corpus: [
    Buffer.from('820548656c6c6f', 'hex'),
    Buffer.from('02034865000080026c6f', 'hex'),
    Buffer.from('8900880203e8', 'hex'),
    Buffer.from('827e0100'.padEnd(8 + 512, 'ab'), 'hex'),
    Buffer.from('827f0000000000010000'.padEnd(20 + 1024, 'cd'), 'hex'),
    Buffer.from('8a0548656c6c6f8980', 'hex'),
  ],
  attempt(input, random) {
    const whole = receive([input])
    same(receive(pieces(input, random.cuts(input.length))), whole, 'a stream in pieces')
    invariant(whole.payload.length <= input.length, 'more payload than input')
    const replied = whole.replyBytes.reduce((sum, bytes) => sum + bytes, 0)
    invariant(replied <= 8 * input.length + 8, `${replied} bytes answered to ${input.length}`)
    return `${whole.end.slice(0, 40)} ${whole.replyBytes.length} ${magnitude(whole.payload.length)}`
  },
}

/** Reads a client's stream as the relay does. */
function read(chunks: readonly Buffer[]): {
  payload: Buffer
  pings: readonly Uint8Array[]
  code: number | undefined
} {
  const reader = new WebSocketReader(40_000)
  const payload: Buffer[] = []
  const pings: Uint8Array[] = []
  for (const chunk of chunks) {
    const own = Buffer.from(chunk)
    const end = reader.feed(own, 0, own.length)
    invariant(end <= own.length, 'more payload than input')
    payload.push(own.subarray(0, end))
    const { count, latest } = reader.takePings() ?? { count: 0, latest: [] }
    invariant(latest.length === Math.min(count, PINGS_MAX), `${latest.length} pings of ${count} kept`)
    pings.push(...latest)
  }
  return { payload: Buffer.concat(payload), pings: pings.slice(-1), code: reader.closeCode }
}

const clientStream = new WebSocketStream(new RecordingHandler(), 40_000)
const webSocketServer: FuzzTarget = {
  name: 'web-socket-server',
  corpus: [
    clientStream.encode(Buffer.from('Hello')),
    clientStream.encode(Buffer.alloc(300, 7)),
    clientStream.encodeClose(1_000),
    Buffer.from('818537fa213d7f9f4d5158', 'hex'),
    Buffer.from('028337fa213d7f9f4d800237fa213d5158898037fa213d', 'hex'),
    Buffer.from('898537fa213d7f9f4d5158888237fa213d3412', 'hex'),
  ],
  attempt(input, random) {
    const whole = read([input])
    same(read(pieces(input, random.cuts(input.length))), whole, 'a stream in pieces')
    if (whole.code !== undefined) invariant(closeFrame(whole.code).length <= 4, 'an invalid close frame')
    // Any bytes from a client reach the relay, and any bytes from the relay reach a client.
    same(read([clientStream.encode(input)]).payload, Buffer.from(input), 'the bytes of a client')
    const short = input.subarray(0, 40_000)
    same(
      receive([Buffer.concat([webSocketHeader(2, short.length), short])]).payload,
      short,
      'the bytes of a server',
    )
    return `${whole.code} ${whole.pings.length} ${magnitude(whole.payload.length)}`
  },
}

const webSocketHandshake: FuzzTarget = {
  name: 'web-socket-handshake',
  corpus: texts(
    'GET /derp HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n' +
      `Sec-WebSocket-Protocol: x, derp\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${login.webSocketHandshake.key}\r\n\r\n`,
    'POST /derp HTTP/1.0\r\nContent-Length: 00\r\nContent-Length: 1\r\nConnection: upgrade\r\n\r\n',
  ),
  tokens: [
    ...REQUEST_TOKENS,
    'Connection: ',
    'Sec-WebSocket-Key: ',
    'Sec-WebSocket-Version: ',
    'Content-Length: ',
    ', ',
  ],
  attempt(input) {
    const end = httpHeadEnd(input, 0, input.length)
    const head = end < 0 ? undefined : parseHttpHead(input, 0, end)
    if (head === undefined) return `${end < 0}`
    const fault = handshakeFault(head)
    const answer = fault === undefined ? Buffer.from(switchingToWebSocket(head)) : undefined
    // The answer is exactly one head for any request.
    if (answer !== undefined)
      same(httpHeadEnd(answer, 0, answer.length), answer.length, 'the end of the answer')
    return `${hasBody(head)} ${hasToken(head.fields.get('upgrade'), 'websocket')} ${fault?.text.slice(0, 60)}`
  },
}

export const HTTP_TARGETS: readonly FuzzTarget[] = [
  httpHead,
  upgrade,
  httpAnswer,
  webSocket,
  webSocketServer,
  webSocketHandshake,
]
