// Follows a DERP map at one of several places: asks the place that answered last, and the others when it fails or its map is
// stale. A map counts only if it is whole and valid, and if its signature is right where a key is given. What is not is a
// reason, and the last map stays. Asks when it is told to; has no timer.

import { verify, type KeyObject } from 'node:crypto'
import { readDerpMap, type DerpMap } from '#fleet/derp-map-reader.ts'
import { problemText, reasonOf } from '#fleet/problem.ts'
import { withoutSecrets } from '#fleet/secret-mask.ts'
import { fileText, requestText, type MapAccess } from './map-source.ts'
import type { MapTarget } from './target.ts'

export interface FollowedMap {
  /** As it came. */
  readonly text: string
  readonly map: DerpMap
  /** The path or URL, without secrets. */
  readonly from: string
  /** The relay does not see most of its fleet: regions may be gone that the map still has. */
  readonly isStale: boolean
}

/** What one round of asking found. */
export interface MapLook {
  /** Undefined if no place has a valid map. */
  readonly found: FollowedMap | undefined
  /** Why places that were asked do not count, one line each. */
  readonly failures: readonly string[]
}

export interface FollowerOptions {
  readonly targets: readonly MapTarget[]
  readonly access: MapAccess
  /** Ed25519 public key; undefined: signatures are not looked at. */
  readonly key: KeyObject | undefined
}

/** The bytes are those of the tag that was sent. */
type Unchanged = Pick<Received, 'isStale'>

interface Received {
  readonly text: string
  readonly signature: string | undefined
  readonly etag: string | undefined
  readonly isStale: boolean
}

/** Base64 of 64 bytes, and a line end. */
const SIGNATURE_CHARS_MAX = 128

export class MapFollower {
  readonly #options: FollowerOptions
  /** The place that is asked first. */
  #at = 0
  /** The last valid map, and the tag with which its place gave it. */
  #last: (FollowedMap & { readonly at: number; readonly etag: string | undefined }) | undefined = undefined

  constructor(options: FollowerOptions) {
    this.#options = options
  }

  /** Asks until a place has a valid map that is not stale. If there is none, the first one that is stale counts. */
  async look(): Promise<MapLook> {
    const { targets } = this.#options
    const failures: string[] = []
    let stale: { readonly found: FollowedMap; readonly at: number } | undefined
    for (let tried = 0; tried < targets.length; tried++) {
      const at = (this.#at + tried) % targets.length
      const target = targets[at]
      if (target === undefined) break
      // Nobody knows how old a file is.
      if (stale !== undefined && target.kind === 'map-file') continue
      const name = withoutSecrets(nameOf(target))
      try {
        const found = await this.#ask(target, at, name)
        if (found.isStale) {
          stale ??= { found, at }
          continue
        }
        this.#at = at
        return { found, failures }
      } catch (error) {
        const reason = withoutSecrets(reasonOf(error))
        failures.push(reason.startsWith(name) ? reason : `${name}: ${reason}`)
      }
    }
    if (stale !== undefined) this.#at = stale.at
    return { found: stale?.found, failures }
  }

  /** @throws Error if there is no valid map */
  async #ask(target: MapTarget, at: number, from: string): Promise<FollowedMap> {
    const known = this.#last?.at === at ? this.#last : undefined
    const received = await receive(target, this.#options.access, known?.etag)
    const { isStale } = received
    if (!('text' in received)) {
      if (known === undefined) throw new Error('answers 304 to a first request')
      // The bytes of a map stay the same when it becomes stale.
      if (known.isStale !== isStale) this.#last = { ...known, isStale }
      return this.#last ?? known
    }
    const { text, etag } = received
    const { key } = this.#options
    if (key !== undefined) {
      const signature = received.signature ?? (await detached(target, this.#options.access))
      if (!isSigned(text, signature, key))
        throw new Error('the signature is not one of the key over this map')
    }
    this.#last = { text, map: validMap(text), from, isStale, at, etag }
    return this.#last
  }
}

function nameOf(target: MapTarget): string {
  return target.kind === 'map-file' ? target.path : target.url
}

async function receive(
  target: MapTarget,
  access: MapAccess,
  etag: string | undefined,
): Promise<Received | Unchanged> {
  if (target.kind === 'map-file') {
    return { text: fileText(target.path), signature: undefined, etag: undefined, isStale: false }
  }
  const fields: Readonly<Record<string, string>> = etag === undefined ? {} : { 'If-None-Match': etag }
  const { status, headers, text } = await requestText(target.url, access, fields)
  const isStale = headers['derpfleet-map-stale'] === 'true'
  if (status === 304) return { isStale }
  if (status !== 200) throw new Error(`answers ${status}`)
  const signature = headers['derpfleet-map-signature']
  return {
    text,
    signature: typeof signature === 'string' ? signature : undefined,
    etag: headers.etag,
    isStale,
  }
}

/** The signature beside the map. */
async function detached(target: MapTarget, access: MapAccess): Promise<string> {
  if (target.kind === 'map-file') return fileText(`${target.path}.sig`)
  const url = new URL(target.url)
  url.pathname += '.sig'
  const { status, text } = await requestText(url.href, access)
  if (status !== 200) throw new Error(`there is no signature: ${url.pathname} answers ${status}`)
  return text
}

function isSigned(text: string, signature: string, key: KeyObject): boolean {
  if (signature.length > SIGNATURE_CHARS_MAX) return false
  return verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64'))
}

/** @throws Error for a text that clients would misread, or that has no relay */
function validMap(text: string): DerpMap {
  const map = readDerpMap(text)
  if ('fault' in map) throw new Error(`the map ${map.fault}`)
  const [problem] = map.problems
  if (problem !== undefined) throw new Error(`the map is invalid: ${problemText(problem)}`)
  if (map.regions.length === 0) throw new Error('the map has no regions')
  // Every DERP map repeats the number of a region in it; a fleet's file has no such field.
  if (!/regionid/i.test(text))
    throw new Error('the map has no RegionID; derpfleet map makes a map of a regions file')
  return map
}
