// Gets the text of a DERP map, from a file or an address, and reads it. Bounded in bytes and in time: an address may
// answer anything.

import { statSync } from 'node:fs'
import { request as requestPlain, type IncomingMessage } from 'node:http'
import { request as requestTls } from 'node:https'
import { nameProblem } from '#client/tls-verification.ts'
import { readDerpMap, type DerpMap } from '#fleet/derp-map-reader.ts'
import { readFileText, whyUnread } from '#config/file-text.ts'
import { problemText } from '#fleet/problem.ts'
import { withoutSecrets } from '#fleet/secret-mask.ts'
import { CheckError, within, type Outcome } from './check.ts'
import type { MapTarget } from './target.ts'

/** Tailscale's own map, with some hundred relays, has a sixtieth of that. */
const MAP_BYTES_MAX = 4 * 1_048_576
const REDIRECTS_MAX = 3
/** As many complaints as a person reads; the rest are counted. */
const PROBLEMS_SHOWN = 5

export interface MapAccess {
  readonly timeoutMs: number
  readonly authorities: readonly string[]
  readonly isInsecure: boolean
}

export interface LoadedMap {
  /** Undefined when there is none. */
  readonly map: DerpMap | undefined
  /** A map with mistakes has failed, though its good nodes can be probed. */
  readonly outcome: Outcome<true>
}

/** Loads a map. Rejects where it can't be had. */
export async function loadMap(target: MapTarget, access: MapAccess): Promise<LoadedMap> {
  const startMs = performance.now()
  const isFile = target.kind === 'map-file'
  const text = isFile
    ? fileText(target.path)
    : await within(access.timeoutMs, 'no map', get(target.url, access))
  const ms = performance.now() - startMs
  const map = readDerpMap(text)
  if ('fault' in map) return { map: undefined, outcome: { status: 'fail', detail: `it ${map.fault}` } }
  const { regions, problems } = map
  const nodeCount = regions.reduce((sum, { nodes }) => sum + nodes.length, 0)
  const counts = `${counted(regions.length, 'region')}, ${counted(nodeCount, 'node')}`
  if (nodeCount === 0 && problems.length === 0) {
    return { map, outcome: { status: 'fail', detail: `no node in it (${counts})` } }
  }
  if (problems.length === 0) return { map, outcome: { status: 'ok', value: true, detail: counts, ms } }
  const shown = problems.slice(0, PROBLEMS_SHOWN).map(problemText)
  const more = problems.length > shown.length ? ` (and ${problems.length - shown.length} more)` : ''
  return { map, outcome: { status: 'fail', detail: shown.join('. ') + more } }
}

function fileText(path: string): string {
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (bytes > MAP_BYTES_MAX) throw new Error(`${path} has ${bytes} bytes; a map has at most ${MAP_BYTES_MAX}`)
  const file = readFileText(path)
  if ('text' in file) return file.text
  throw new Error(`${path} ${whyUnread(file)}`)
}

async function get(url: string, access: MapAccess, redirects = 0): Promise<string> {
  const response = await open(url, access)
  try {
    const status = response.statusCode ?? 0
    const { location } = response.headers
    if (status >= 300 && status <= 399 && location !== undefined && URL.canParse(location, url)) {
      return await get(nextUrl(url, location, redirects), access, redirects + 1)
    }
    if (status !== 200) throw new Error(`${withoutSecrets(url)} answers ${status}`)
    return await body(response)
  } finally {
    response.destroy()
  }
}

function nextUrl(from: string, location: string, redirects: number): string {
  const next = new URL(location, from)
  if (redirects === REDIRECTS_MAX)
    throw new Error(`more than ${REDIRECTS_MAX} redirects, the last from ${withoutSecrets(from)}`)
  const isWeaker = from.startsWith('https:') && next.protocol !== 'https:'
  if (isWeaker || !/^https?:$/.test(next.protocol))
    throw new Error(withoutSecrets(`${from} redirects to ${next.href}`))
  return next.href
}

function open(url: string, access: MapAccess): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = { signal: AbortSignal.timeout(access.timeoutMs) }
    const outgoing = url.startsWith('https:')
      ? requestTls(url, {
          ...options,
          ca: [...access.authorities],
          rejectUnauthorized: !access.isInsecure,
          checkServerIdentity: (name, certificate) => nameProblem(name, certificate),
        })
      : requestPlain(url, options)
    outgoing.on('error', (error) =>
      reject(new CheckError(`${withoutSecrets(url)}: ${error.message}`, tlsHint(error))),
    )
    outgoing.on('response', resolve)
    outgoing.end()
  })
}

function tlsHint(error: Error): string {
  return /certificate|altname/i.test(error.message)
    ? '-ca FILE trusts an authority of your own; a map can be saved and probed as a file'
    : 'a map can be saved and probed as a file'
}

async function body(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAP_BYTES_MAX) throw new Error(`more than ${MAP_BYTES_MAX} bytes; that is no map`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
