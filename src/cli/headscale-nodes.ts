// The nodes of a Headscale, for a lease: by its API (GET /api/v1/node), or as `headscale nodes list -o json` prints them. The two
// have other names and another form of times for the same fields.

import { readFileSync } from 'node:fs'
import { request as requestPlain, type IncomingMessage } from 'node:http'
import { request as requestTls } from 'node:https'
import { nameProblem } from '#client/tls-verification.ts'
import { isZero } from '#protocol/bytes.ts'
import { parsePublicKey } from '#protocol/node-key.ts'

/** Forty thousand nodes with two kilobytes each. */
const BYTES_MAX = 83_886_080
const TIMEOUT_MS = 30_000

export interface HeadscaleNode {
  readonly key: Uint8Array
  /** Headscale's name for the node, which is unique there. */
  readonly name: string
  readonly user: string
  /** Without `tag:`. */
  readonly tags: readonly string[]
  /** When its key ends, in Unix milliseconds; Infinity: never. */
  readonly untilMs: number
}

export interface HeadscaleAccess {
  readonly url: string
  readonly apiKey: string
  readonly authorities: readonly string[]
}

/** The JSON of all nodes. @throws Error if there is no answer with status 200 in time */
export async function requestNodes({ url, apiKey, authorities }: HeadscaleAccess): Promise<string> {
  const address = `${url.replace(/\/+$/, '')}/api/v1/node`
  const response = await open(address, apiKey, authorities)
  const text = await bodyOf(response)
  if (response.statusCode === 200) return text
  // Redirects are not followed: the API key is for this address alone.
  const hint = response.statusCode === 401 ? '; is the API key right, and has it not expired?' : ''
  throw new Error(`${address} answers ${response.statusCode}${hint}`)
}

async function open(
  address: string,
  apiKey: string,
  authorities: readonly string[],
): Promise<IncomingMessage> {
  return await new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const options = {
      signal,
      agent: false,
      headers: { authorization: `Bearer ${apiKey}`, accept: 'application/json' },
    }
    const outgoing = address.startsWith('https:')
      ? requestTls(address, {
          ...options,
          ca: [...authorities],
          checkServerIdentity: (name, certificate) => nameProblem(name, certificate),
        })
      : requestPlain(address, options)
    outgoing.on('error', (error) =>
      reject(new Error(`${address}: ${error.name === 'AbortError' ? 'no answer in time' : error.message}`)),
    )
    outgoing.on('response', resolve)
    outgoing.end()
  })
}

async function bodyOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > BYTES_MAX) throw new Error(`the answer has more than ${BYTES_MAX} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The text of a file; `-`: of standard input. @throws Error if it cannot be read */
export function nodesText(path: string): string {
  const text = readFileSync(path === '-' ? process.stdin.fd : path, 'utf8')
  if (text.length > BYTES_MAX) throw new Error(`${path} has more than ${BYTES_MAX} bytes`)
  return text
}

/** @throws Error for what is no list of nodes: half a list would keep members out */
export function readNodes(text: string): readonly HeadscaleNode[] {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new Error('the list of nodes is not JSON', { cause: error })
  }
  const list = Array.isArray(json) ? (json as unknown[]) : fieldOf(json, 'nodes')
  // Headscale leaves the list out if there are no nodes.
  if (list === undefined && typeof json === 'object' && json !== null && Object.keys(json).length === 0)
    return []
  if (json === null) return []
  if (!Array.isArray(list))
    throw new Error('the list of nodes has no nodes; expected {"nodes": [...]} or [...]')
  return list.flatMap((node, at) => nodeOf(node, at))
}

function nodeOf(node: unknown, at: number): readonly HeadscaleNode[] {
  const keyText = fieldOf(node, 'nodeKey', 'node_key')
  const key = typeof keyText === 'string' ? parsePublicKey(keyText) : undefined
  if (key === undefined) throw new Error(`node ${at + 1} of the list has no node key`)
  // A node that has logged out.
  if (isZero(key)) return []
  const [name, user] = [
    fieldOf(node, 'givenName', 'given_name', 'name'),
    fieldOf(fieldOf(node, 'user'), 'name'),
  ]
  const tags = fieldOf(node, 'tags')
  return [
    {
      key,
      name: typeof name === 'string' ? name : '',
      user: typeof user === 'string' ? user : '',
      tags: Array.isArray(tags)
        ? tags.flatMap((tag) => (typeof tag === 'string' ? [tag.replace(/^tag:/, '')] : []))
        : [],
      untilMs: endOf(fieldOf(node, 'expiry'), at),
    },
  ]
}

/** Null, the year 1 and no field: never. */
function endOf(expiry: unknown, at: number): number {
  if (expiry === undefined || expiry === null) return Infinity
  const seconds = fieldOf(expiry, 'seconds')
  const ms =
    typeof expiry === 'string'
      ? Date.parse(expiry)
      : seconds === undefined
        ? Number.NaN
        : 1_000 * Number(seconds)
  if (!Number.isFinite(ms)) throw new Error(`node ${at + 1} of the list has an expiry that is no time`)
  return ms <= 0 ? Infinity : ms
}

/** The first of these fields that the value has. */
function fieldOf(value: unknown, ...names: readonly string[]): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  const name = names.find((one) => Object.hasOwn(value, one))
  return name === undefined ? undefined : (value as Readonly<Record<string, unknown>>)[name]
}
