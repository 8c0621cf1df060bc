// Loads a DERP map from a file or a URL and reads it. Size and time are limited, because a server may answer with
// anything.

import { statSync } from 'node:fs'
import { request as requestPlain, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { request as requestTls } from 'node:https'
import { nameProblem } from '#client/tls-verification.ts'
import { readDerpMap, type DerpMap } from '#fleet/derp-map-reader.ts'
import { readFileText, whyUnread } from '#config/file-text.ts'
import { problemText } from '#fleet/problem.ts'
import { readRegionsFile } from '#fleet/regions-file.ts'
import { withoutSecrets } from '#fleet/secret-mask.ts'
import { CheckError, within, type Outcome } from './check.ts'
import type { MapTarget } from './target.ts'

/** Sixty times the size of Tailscale's own map, which has about a hundred relays. */
const MAP_BYTES_MAX = 4 * 1_048_576
const REDIRECTS_MAX = 3
/** The rest are only counted. */
const PROBLEMS_SHOWN = 5

export interface MapAccess {
  readonly timeoutMs: number
  /** All that are trusted: with none, no certificate is. */
  readonly authorities: readonly string[]
  readonly isInsecure: boolean
}

export interface LoadedMap {
  /** Undefined if the text is no map. */
  readonly map: DerpMap | undefined
  /** A failure for a map with mistakes, although its valid nodes can be probed. */
  readonly outcome: Outcome<true>
}

/** Loads a map. Rejects if the file or URL cannot be read. */
export async function loadMap(target: MapTarget, access: MapAccess): Promise<LoadedMap> {
  const startMs = performance.now()
  const text = await mapText(target, access)
  const ms = performance.now() - startMs
  if (isRegionsFile(text)) return { map: undefined, outcome: { status: 'fail', detail: REGIONS_FILE } }
  const map = readDerpMap(text)
  if ('fault' in map) return { map: undefined, outcome: { status: 'fail', detail: `the map ${map.fault}` } }
  const { regions, problems } = map
  const nodeCount = regions.reduce((sum, { nodes }) => sum + nodes.length, 0)
  const counts = `${counted(regions.length, 'region')}, ${counted(nodeCount, 'node')}`
  if (nodeCount === 0 && problems.length === 0) {
    return { map, outcome: { status: 'fail', detail: `the map has no nodes (${counts})` } }
  }
  if (problems.length === 0) return { map, outcome: { status: 'ok', value: true, detail: counts, ms } }
  const shown = problems.slice(0, PROBLEMS_SHOWN).map(problemText)
  const more = problems.length > shown.length ? ` (and ${problems.length - shown.length} more)` : ''
  return { map, outcome: { status: 'fail', detail: shown.join('. ') + more } }
}

const REGIONS_FILE =
  'it is a regions file and no DERP map; derpfleet map -all -regions-file FILE -format json makes one of it'

/** It reads like a map, but has regions that are off, and other names of fields. */
function isRegionsFile(text: string): boolean {
  // Every DERP map repeats the number of a region in it; a fleet's file has no such field.
  return !/regionid/i.test(text) && 'regions' in readRegionsFile('', text)
}

/** The text of a map, whatever it says. Rejects if the file or URL cannot be read. */
export async function mapText(target: MapTarget, access: MapAccess): Promise<string> {
  if (target.kind === 'map-file') return fileText(target.path)
  const { status, text, url } = await requestText(target.url, access)
  if (status !== 200) throw statusError(`${withoutSecrets(url)} answers ${status}`, text)
  return text
}

export interface ReceivedText {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** Where redirects have led to. */
  readonly url: string
}

/**
 * Gets a text, with the given fields in the request's head.
 *
 * @throws Error if there is no answer in time, or one that is too large
 */
export async function requestText(
  url: string,
  access: MapAccess,
  fields: Readonly<Record<string, string>> = {},
): Promise<ReceivedText> {
  return await within(access.timeoutMs, 'no map', get(url, { ...access, fields }))
}

/** @throws Error if there is no file, or one that is too large */
export function fileText(path: string): string {
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  if (bytes > MAP_BYTES_MAX) throw new Error(`${path} has ${bytes} bytes; expected at most ${MAP_BYTES_MAX}`)
  const file = readFileText(path)
  if ('text' in file) return file.text
  throw new Error(`${path} ${whyUnread(file)}`)
}

interface Request extends MapAccess {
  readonly fields: Readonly<Record<string, string>>
}

async function get(url: string, request: Request, redirects = 0): Promise<ReceivedText> {
  const response = await open(url, request)
  try {
    const { statusCode: status = 0, headers } = response
    const { location } = headers
    if (status >= 300 && status <= 399 && location !== undefined && URL.canParse(location, url)) {
      return await get(nextUrl(url, location, redirects), request, redirects + 1)
    }
    return { status, headers, text: await body(response), url }
  } finally {
    response.destroy()
  }
}

/** What Headscale makes of an error whose body is a JSON object: it does not look at the status. */
export const EMPTY_FOR_HEADSCALE =
  'Headscale does not look at the status and takes this JSON for a map without regions: answer errors with plain text'

function statusError(message: string, text: string): Error {
  return text.trimStart().startsWith('{') ? new CheckError(message, EMPTY_FOR_HEADSCALE) : new Error(message)
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

function open(url: string, { fields, ...access }: Request): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = { signal: AbortSignal.timeout(access.timeoutMs), headers: fields }
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
    ? 'to trust an authority of your own, use -ca FILE; or save the map and probe the file'
    : 'a saved copy of the map can be probed as a file'
}

async function body(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAP_BYTES_MAX)
      throw new Error(`the response has more than ${MAP_BYTES_MAX} bytes and is not a map`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
