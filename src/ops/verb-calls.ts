// Answers calls of verbs over HTTP: finds the verb that a request names, reads its parameters, and answers in JSON. Each call
// leaves an audit line in the log, and two if it takes long. A request is bounded in bytes; how long a verb takes is its own
// matter. Who may call, and over which connections, is the business of the servers: verb-server.ts and token-verbs.ts. Runs on
// the control thread.

import type { IncomingMessage, ServerResponse } from 'node:http'
import { LogEvent } from './log-event.ts'
import type { Log } from './log.ts'
import type { Verb, VerbAnswer, VerbBody } from './verb.ts'

const PATH = /^\/v1\/([a-z-]{1,32})$/
/** The parameters of any verb are a few words. */
const BODY_BYTES_MAX = 4_096
/** A call that takes longer leaves a line of its own before: a drain takes minutes, and who asked for it is asked meanwhile. */
const UNDER_WAY_MS = 1_000
/** What a caller says of itself, in the log. */
const CLAIM_CHARS_MAX = 100

/** An answer that is no verb's. */
interface Refusal {
  readonly status: number
  readonly error: string
}

/** A request, and who has sent it as far as this system can tell, for the audit line. */
interface Call {
  readonly request: IncomingMessage
  readonly caller: string
}

export class VerbCalls {
  readonly #log: Log
  readonly #verbs = new Map<string, Verb>()

  constructor(log: Log) {
    this.#log = log
  }

  register(verb: Verb): void {
    this.#verbs.set(verb.name, verb)
  }

  /** @param caller who calls, by what the system or a credential proves */
  async serve(request: IncomingMessage, response: ServerResponse, caller: string): Promise<void> {
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    const verb = this.#verbOf(request)
    if ('error' in verb) return sendJson(response, verb.status, { error: verb.error })
    const call = { request, caller }
    const parameters = parametersOf(verb, request.url ?? '', await bodyOf(request))
    if ('error' in parameters) {
      this.#audit(verb, call, { result: 'invalid', reason: parameters.error })
      return sendJson(response, parameters.status, { error: parameters.error })
    }
    const answer = await this.#answer(verb, call, { parameters: parameters.values, signal: gone.signal })
    sendJson(response, answer.status, answer.body)
  }

  #verbOf({ method, url = '/' }: IncomingMessage): Verb | Refusal {
    const [path = ''] = url.split('?', 1)
    const verb = this.#verbs.get(PATH.exec(path)?.[1] ?? '')
    const names = [...this.#verbs.values()].map(({ name, changes }) => `${methodOf(changes)} /v1/${name}`)
    if (verb === undefined) return { status: 404, error: `unknown verb; known are ${names.join(', ')}` }
    const expected = methodOf(verb.changes)
    return method === expected ? verb : { status: 405, error: `${verb.name} is called by ${expected}` }
  }

  async #answer(
    verb: Verb,
    call: Call,
    input: Parameters<Verb['answer']>[0],
  ): Promise<{ status: number; body: VerbBody }> {
    let answer: VerbAnswer
    const underWay = setTimeout(() => {
      this.#audit(verb, call, { ...input.parameters, result: 'under_way' })
    }, UNDER_WAY_MS)
    try {
      answer = await verb.answer(input)
    } catch (error) {
      // A bug in this program, but none that should stop the relaying of packets.
      this.#log.error(LogEvent.verbFailed, { verb: verb.name, error })
      this.#audit(verb, call, { ...input.parameters, result: 'failed' })
      return { status: 500, body: { error: 'internal error; see verb_failed in the log' } }
    } finally {
      clearTimeout(underWay)
    }
    const reason = answer.isDone ? undefined : answer.body.error
    this.#audit(verb, call, {
      ...input.parameters,
      result: answer.isDone ? 'done' : 'refused',
      reason,
    })
    return { status: answer.isDone ? 200 : 409, body: answer.body }
  }

  #audit({ name, changes }: Verb, { request, caller }: Call, fields: Record<string, unknown>): void {
    const line = { verb: name, caller, claimed: claimOf(request), ...fields }
    if (changes) this.#log.info(LogEvent.verbCalled, line)
    else this.#log.debug(LogEvent.verbRead, line)
  }
}

function methodOf(changes: boolean): 'POST' | 'GET' {
  return changes ? 'POST' : 'GET'
}

/** What the calling program says of itself: which person uses it, only the caller can say. Nothing proves it. */
function claimOf({ headers }: IncomingMessage): string | undefined {
  return headers['user-agent']?.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, CLAIM_CHARS_MAX)
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

/** Of a verb that only reads, its parameters may stand in the query. */
function parametersOf(
  { parameters, changes }: Verb,
  url: string,
  body: string | Refusal,
): { readonly values: Readonly<Record<string, boolean | number | string>> } | Refusal {
  if (typeof body !== 'string') return body
  const content = contentOf(body)
  if ('error' in content) return content
  const given = [...(changes ? [] : queryOf(url, parameters)), ...Object.entries(content.fields)]
  const values: Record<string, boolean | number | string> = {}
  for (const [name, value] of given) {
    const expected = Object.hasOwn(parameters, name) ? parameters[name] : undefined
    if (expected === undefined) {
      return { status: 400, error: `unknown parameter ${JSON.stringify(name).slice(0, CLAIM_CHARS_MAX)}` }
    }
    if (typeof value !== expected) return { status: 400, error: `${name} is not a ${expected}` }
    values[name] = value as boolean | number | string
  }
  return { values }
}

function contentOf(body: string): { readonly fields: object } | Refusal {
  if (body === '') return { fields: {} }
  try {
    const content: unknown = JSON.parse(body)
    if (typeof content === 'object' && content !== null && !Array.isArray(content)) return { fields: content }
    return { status: 400, error: 'the body is not a JSON object' }
  } catch {
    return { status: 400, error: 'the body is not JSON' }
  }
}

/** The query's values, each as its parameter's type if it can be read so, else as text. */
function queryOf(url: string, types: Verb['parameters']): readonly (readonly [string, unknown])[] {
  const queryAt = url.indexOf('?')
  if (queryAt < 0) return []
  return [...new URLSearchParams(url.slice(queryAt + 1))].map(([name, text]) => {
    const type = Object.hasOwn(types, name) ? types[name] : undefined
    if (type === 'boolean' && (text === 'true' || text === 'false')) return [name, text === 'true']
    return [name, type === 'number' && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text]
  })
}

export function sendJson(
  response: ServerResponse,
  status: number,
  body: VerbBody,
  headers: Readonly<Record<string, string>> = {},
): void {
  if (response.destroyed) return
  const text = `${JSON.stringify(body)}\n`
  response.writeHead(status, {
    ...headers,
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(text),
    'Cache-Control': 'no-store',
    // The body of a refused request may not have been read.
    ...(status >= 400 ? { Connection: 'close' } : {}),
  })
  response.end(text)
}
