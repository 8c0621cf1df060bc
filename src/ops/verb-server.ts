// The HTTP server behind the relay's control socket: finds the verb that a request names, reads its parameters, and answers
// in JSON. Each call leaves an audit line in the log. Everything is bounded: connections, bytes, and the time that a request
// may take to arrive. How long a verb takes is its own matter. Where the server listens is the caller's. Runs on the control
// thread.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { AdminConnections } from './admin-connections.ts'
import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'
import { endServer } from './server-end.ts'
import type { Verb, VerbAnswer, VerbBody } from './verb.ts'

const PATH = /^\/v1\/([a-z-]{1,32})$/
/** A command sends its request at once. */
const REQUEST_TIMEOUT_MS = 5_000
const TIMEOUTS_CHECKED_MS = 1_000
/** Commands send one request; nothing is gained by keeping their connections. */
const KEEP_ALIVE_TIMEOUT_MS = 1_000
const HEAD_BYTES_MAX = 4_096
/** The parameters of any verb are a few words. */
const BODY_BYTES_MAX = 4_096
/** Operators and their scripts; each connection costs a file descriptor. */
const CONNECTIONS_MAX = 16
const PENDING_REQUESTS_MAX = 2
/** What a caller says of itself, in the log. */
const CALLER_CHARS_MAX = 100

/** An answer that is no verb's. */
interface Refusal {
  readonly status: number
  readonly error: string
}

export class VerbServer {
  readonly #log: Log
  readonly #verbs = new Map<string, Verb>()
  readonly #connections = new AdminConnections(CONNECTIONS_MAX, PENDING_REQUESTS_MAX)
  readonly server: Server

  constructor(log: Log) {
    this.#log = log
    this.server = createServer(
      {
        headersTimeout: REQUEST_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        connectionsCheckingInterval: TIMEOUTS_CHECKED_MS,
        keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
        maxHeaderSize: HEAD_BYTES_MAX,
      },
      (request, response) => void this.#serve(request, response),
    )
    this.server.on('connection', (socket) => this.#connections.add(socket))
  }

  register(verb: Verb): void {
    this.#verbs.set(verb.name, verb)
  }

  /** Stops listening, lets callers read the answers under way, and closes all connections. */
  async close(): Promise<void> {
    await endServer(this.server)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const gone = new AbortController()
    const answered = new Promise<void>((resolve) => {
      response.once('close', () => {
        gone.abort()
        resolve()
      })
    })
    if (!(await this.#connections.turn(request.socket, answered))) return
    const verb = this.#verbOf(request)
    if ('error' in verb) return send(response, verb.status, { error: verb.error })
    const parameters = parametersOf(verb, await bodyOf(request))
    if ('error' in parameters) {
      this.#audit(verb, request, { result: 'invalid', reason: parameters.error })
      return send(response, parameters.status, { error: parameters.error })
    }
    const call = { parameters: parameters.values, signal: gone.signal }
    const answer = await this.#answer(verb, request, call)
    send(response, answer.status, answer.body)
  }

  #verbOf({ method, url = '/' }: IncomingMessage): Verb | Refusal {
    const verb = this.#verbs.get(PATH.exec(url)?.[1] ?? '')
    const names = [...this.#verbs.values()].map(({ name, changes }) => `${methodOf(changes)} /v1/${name}`)
    if (verb === undefined) return { status: 404, error: `unknown verb; known are ${names.join(', ')}` }
    const expected = methodOf(verb.changes)
    return method === expected ? verb : { status: 405, error: `${verb.name} is called by ${expected}` }
  }

  async #answer(
    verb: Verb,
    request: IncomingMessage,
    call: Parameters<Verb['answer']>[0],
  ): Promise<{ status: number; body: VerbBody }> {
    let answer: VerbAnswer
    try {
      answer = await verb.answer(call)
    } catch (error) {
      // A bug in this program, but none that should stop the relaying of packets.
      this.#log.error(LogEvent.verbFailed, { verb: verb.name, error })
      this.#audit(verb, request, { ...call.parameters, result: 'failed' })
      return { status: 500, body: { error: 'internal error; see verb_failed in the log' } }
    }
    const reason = answer.isDone ? undefined : answer.body.error
    this.#audit(verb, request, {
      ...call.parameters,
      result: answer.isDone ? 'done' : 'refused',
      reason,
    })
    return { status: answer.isDone ? 200 : 409, body: answer.body }
  }

  #audit({ name, changes }: Verb, request: IncomingMessage, fields: Record<string, unknown>): void {
    if (changes) this.#log.info(LogEvent.verbCalled, { verb: name, caller: callerOf(request), ...fields })
    else this.#log.debug(LogEvent.verbRead, { verb: name, caller: callerOf(request), ...fields })
  }
}

function methodOf(changes: boolean): 'POST' | 'GET' {
  return changes ? 'POST' : 'GET'
}

/** The caller is the relay's own user or root; which person or program that is, only the caller can say. */
function callerOf({ headers }: IncomingMessage): string | undefined {
  return headers['user-agent']?.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, CALLER_CHARS_MAX)
}

/** The text of the body; a body that is too long or does not arrive is none. */
async function bodyOf(request: IncomingMessage): Promise<string | Refusal> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      bytes += chunk.length
      if (bytes > BODY_BYTES_MAX)
        return { status: 413, error: `the body has more than ${BODY_BYTES_MAX} bytes` }
      chunks.push(chunk)
    }
  } catch {
    return { status: 400, error: 'the body is incomplete' }
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parametersOf(
  { parameters }: Verb,
  body: string | Refusal,
): { readonly values: Readonly<Record<string, boolean | number | string>> } | Refusal {
  if (typeof body !== 'string') return body
  if (body === '') return { values: {} }
  let content: unknown
  try {
    content = JSON.parse(body)
  } catch {
    return { status: 400, error: 'the body is not JSON' }
  }
  if (typeof content !== 'object' || content === null || Array.isArray(content)) {
    return { status: 400, error: 'the body is not a JSON object' }
  }
  const values: Record<string, boolean | number | string> = {}
  for (const [name, value] of Object.entries(content)) {
    const expected = Object.hasOwn(parameters, name) ? parameters[name] : undefined
    if (expected === undefined) {
      return { status: 400, error: `unknown parameter ${JSON.stringify(name).slice(0, CALLER_CHARS_MAX)}` }
    }
    if (typeof value !== expected) return { status: 400, error: `${name} is not a ${expected}` }
    values[name] = value as boolean | number | string
  }
  return { values }
}

function send(response: ServerResponse, status: number, body: VerbBody): void {
  if (response.destroyed) return
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(status, {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
    // The body of a refused request may not have been read.
    ...(status >= 400 ? { Connection: 'close' } : {}),
  })
  response.end(text)
}
