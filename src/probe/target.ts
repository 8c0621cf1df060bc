// What a probe can be pointed at: one relay by its address, or all relays of a DERP map. This file parses the text of a
// target; it opens no connection and looks up no name. It only asks whether a file of that name exists.

import { existsSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import { fileURLToPath } from 'node:url'

export type ProbeTarget = RelayTarget | MapTarget

export interface RelayTarget {
  readonly kind: 'relay'
  readonly host: string
  readonly port: number
  /** Plain TCP: the target starts with `http://`. */
  readonly isPlain: boolean
}

/** The source of a map: the path of a file, or a URL. */
export type MapTarget =
  | { readonly kind: 'map-file'; readonly path: string }
  | { readonly kind: 'map-url'; readonly url: string }

export const TARGET_EXPECTED =
  'HOST, HOST:PORT or http[s]://HOST:PORT of a relay, or the path or URL of a DERP map (JSON or YAML)'

/** Parses a target; undefined for a text that is none. */
export function parseTarget(text: string): ProbeTarget | undefined {
  if (/^file:/i.test(text)) return fileTarget(text)
  if (/^https?:/i.test(text)) return urlTarget(text)
  if (/\.(json|ya?ml)$/i.test(text) || text.includes('/')) return { kind: 'map-file', path: text }
  const relay = hostTarget(text)
  // A map file may have any name. An existing file counts as a map, unless the text is a valid address.
  return relay === undefined && existsSync(text) ? { kind: 'map-file', path: text } : relay
}

/** The same where only a map is meant: it has no other name than a path or a URL; a URL without a path may be one, too. */
export function mapTargetOf(given: string): MapTarget | undefined {
  const target = parseTarget(given)
  if (target === undefined) return undefined
  if (target.kind !== 'relay') return target
  return /^https?:/i.test(given) ? { kind: 'map-url', url: given } : { kind: 'map-file', path: given }
}

function fileTarget(text: string): MapTarget | undefined {
  try {
    return { kind: 'map-file', path: fileURLToPath(text) }
  } catch {
    return undefined
  }
}

/** A URL with a path is a map's: a relay's URL has no path but `/derp`. */
function urlTarget(text: string): ProbeTarget | undefined {
  const url = URL.parse(text)
  if (url === null || url.username !== '' || url.password !== '') return undefined
  const isRelay = (url.pathname === '/' || url.pathname === '/derp') && url.search === ''
  if (!isRelay) return { kind: 'map-url', url: url.href }
  const isPlain = url.protocol === 'http:'
  const port = url.port === '' ? (isPlain ? 80 : 443) : Number(url.port)
  return { kind: 'relay', host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port, isPlain }
}

function hostTarget(text: string): RelayTarget | undefined {
  if (isIPv6(text)) return { kind: 'relay', host: text, port: 443, isPlain: false }
  const [, bracketed, plain = '', portText = '443'] =
    /^(?:\[([^\]]+)\]|([\w.-]+))(?::(\d+))?$/.exec(text) ?? []
  const port = Number(portText)
  if (port < 1 || port > 65_535) return undefined
  if (bracketed !== undefined && !isIPv6(bracketed)) return undefined
  const host = bracketed ?? plain
  return host === '' ? undefined : { kind: 'relay', host, port, isPlain: false }
}
