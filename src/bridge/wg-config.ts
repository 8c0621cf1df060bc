// Reads a configuration file of wg-quick or wg: what a bridge needs of it, and no more. Everything else in the file is
// WireGuard's matter and is passed over. The caller reads the file. Messages never quote what may be a secret.

import { KEY_BYTES } from '#protocol/limits.ts'
import { parsePublicKey } from '#protocol/node-key.ts'
import type { Problem } from '#fleet/problem.ts'

export interface WgPeer {
  /** From a comment `# Name = …` in its section, else the first characters of its key. */
  readonly name: string
  readonly publicKey: Uint8Array
  /** The key of its bridge at the relay: its WireGuard key, unless a comment `# BridgeKey = nodekey:…` names another one. */
  readonly bridgeKey: Uint8Array
  /** `host:port` as written; undefined if the peer connects to this host. */
  readonly endpoint: string | undefined
  readonly allowedIps: readonly string[]
}

export interface WgConfig {
  /** Undefined: the file leaves it to a command. */
  readonly privateKey: Uint8Array | undefined
  readonly listenPort: number | undefined
  readonly peers: readonly WgPeer[]
}

export type WgConfigText = { readonly config: WgConfig } | { readonly problems: readonly Problem[] }

/** More peers than a bridge carries; a file with more is read, and the bridge says so. */
const SHOWN_KEY_CHARS = 8
const COMMENTS = /^#\s*(name|bridgekey)\s*=\s*(.*)$/i

interface Section {
  readonly line: number
  readonly isPeer: boolean
  readonly values: Map<string, { readonly text: string; readonly line: number }>
}

/** @param path names the file in problems */
export function readWgConfig(path: string, text: string): WgConfigText {
  const problems: Problem[] = []
  const sections = sectionsOf(text)
  const own = sections.find(({ isPeer }) => !isPeer)
  if (own === undefined) {
    return { problems: [{ where: path, found: 'has no [Interface]', expected: 'a file of wg-quick' }] }
  }
  const read = new SectionReader(path, problems)
  const config = {
    privateKey: read.key(own, 'privatekey', readBase64),
    listenPort: read.port(own, 'listenport'),
    peers: sections.filter(({ isPeer }) => isPeer).flatMap((section) => peerOf(section, read)),
  }
  for (const name of repeatedNames(config.peers)) {
    problems.push({ where: path, found: `has two peers ${JSON.stringify(name)}`, expected: 'one' })
  }
  return problems.length > 0 ? { problems } : { config }
}

/** 32 bytes as WireGuard writes them; undefined for anything else. */
export function readBase64(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]{43}=$/.test(text)) return undefined
  const key = new Uint8Array(Buffer.from(text, 'base64'))
  return key.length === KEY_BYTES ? key : undefined
}

export function base64Of(key: Uint8Array): string {
  return Buffer.from(key).toString('base64')
}

function sectionsOf(text: string): readonly Section[] {
  const sections: Section[] = []
  for (const [at, raw] of text.split('\n').entries()) {
    const [, header] = /^\s*\[(interface|peer)\]\s*(?:#.*)?$/i.exec(raw) ?? []
    if (header !== undefined) {
      sections.push({ line: at + 1, isPeer: header.toLowerCase() === 'peer', values: new Map() })
      continue
    }
    const [, name, value] =
      COMMENTS.exec(raw.trim()) ?? /^([a-z]+)\s*=\s*(.*)$/i.exec(raw.replace(/#.*/, '').trim()) ?? []
    if (name === undefined || value === undefined) continue
    const values = sections.at(-1)?.values
    const key = name.toLowerCase()
    // AllowedIPs may stand in several lines.
    const before = key === 'allowedips' ? values?.get(key)?.text : undefined
    values?.set(key, { text: before === undefined ? value : `${before},${value}`, line: at + 1 })
  }
  return sections
}

function peerOf(section: Section, read: SectionReader): readonly WgPeer[] {
  const publicKey = read.key(section, 'publickey', readBase64)
  if (publicKey === undefined) {
    if (!section.values.has('publickey')) read.problem(section.line, 'a [Peer] without PublicKey', 'one')
    return []
  }
  const bridgeKey = read.key(section, 'bridgekey', (text) => parsePublicKey(text) ?? readBase64(text))
  const endpoint = section.values.get('endpoint')
  if (endpoint !== undefined && !/^(\[[^\]\s]+\]|[^\s:]+):\d{1,5}$/.test(endpoint.text)) {
    read.problem(endpoint.line, `Endpoint ${JSON.stringify(endpoint.text)}`, 'host:port')
  }
  return [
    {
      name: section.values.get('name')?.text || base64Of(publicKey).slice(0, SHOWN_KEY_CHARS),
      publicKey,
      bridgeKey: bridgeKey ?? publicKey,
      endpoint: endpoint?.text,
      allowedIps: (section.values.get('allowedips')?.text ?? '')
        .split(',')
        .map((one) => one.trim())
        .filter((one) => one !== ''),
    },
  ]
}

function repeatedNames(peers: readonly WgPeer[]): readonly string[] {
  const names = peers.map(({ name }) => name)
  return names.filter((name, at) => names.indexOf(name) !== at)
}

class SectionReader {
  readonly #path: string
  readonly #problems: Problem[]

  constructor(path: string, problems: Problem[]) {
    this.#path = path
    this.#problems = problems
  }

  key(
    section: Section,
    name: string,
    parse: (text: string) => Uint8Array | undefined,
  ): Uint8Array | undefined {
    const value = section.values.get(name)
    if (value === undefined) return undefined
    const key = parse(value.text)
    if (key === undefined) this.problem(value.line, `${name}: not a key`, 'a key as "wg genkey" prints it')
    return key
  }

  port(section: Section, name: string): number | undefined {
    const value = section.values.get(name)
    if (value === undefined) return undefined
    const port = Number(value.text)
    if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port === 0 ? undefined : port
    this.problem(value.line, `${name}: ${JSON.stringify(value.text)}`, 'a port')
    return undefined
  }

  problem(line: number, found: string, expected: string): void {
    this.#problems.push({ where: `${this.#path}:${line}`, found, expected })
  }
}
