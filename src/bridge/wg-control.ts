// WireGuard on this host, by its own program `wg`: what it says of its peers, and setting a peer's endpoint. The kernel's and the
// user-space ones answer alike.

import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { base64Of, readBase64 } from './wg-config.ts'
import { keyName } from '#protocol/node-key.ts'

/** What WireGuard says of a peer. */
export interface WgPeerState {
  /** `address:port`; undefined: none yet. */
  readonly endpoint: string | undefined
  readonly rx: number
  readonly tx: number
  /** Seconds; 0: off. */
  readonly keepalive: number
}

export interface WgState {
  readonly listenPort: number
  /** By keyName. */
  readonly peers: ReadonlyMap<string, WgPeerState>
}

/** A change of one peer; `wg` makes all of it at once. */
export interface WgChange {
  readonly endpoint?: string
  readonly keepalive?: number
}

export interface WgControl {
  /** @throws Error if the interface is not there, or this user may not ask */
  read(): Promise<WgState>
  /** @throws Error likewise */
  set(publicKey: Uint8Array, change: WgChange): Promise<void>
}

/** `wg` looks names up for up to a minute; it is only given addresses. */
const TIME_LIMIT_MS = 2_000
const OUTPUT_BYTES_MAX = 4_194_304
const run = promisify(execFile)

export class WgProgram implements WgControl {
  readonly #interfaceName: string

  constructor(interfaceName: string) {
    this.#interfaceName = interfaceName
  }

  async read(): Promise<WgState> {
    return readDump(await wg('show', this.#interfaceName, 'dump'))
  }

  async set(publicKey: Uint8Array, { endpoint, keepalive }: WgChange): Promise<void> {
    const changes = [
      ...(endpoint === undefined ? [] : ['endpoint', endpoint]),
      ...(keepalive === undefined ? [] : ['persistent-keepalive', `${keepalive}`]),
    ]
    await wg('set', this.#interfaceName, 'peer', base64Of(publicKey), ...changes)
  }
}

/** Reads what `wg show NAME dump` prints: the interface, then a line for each peer. */
export function readDump(text: string): WgState {
  const [own = [], ...rows] = text
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t'))
  const peers = new Map<string, WgPeerState>()
  for (const [key = '', , endpoint = '', , , rx, tx, keepalive] of rows) {
    const publicKey = readBase64(key)
    if (publicKey === undefined) continue
    peers.set(keyName(publicKey), {
      endpoint: endpoint === '(none)' ? undefined : endpoint,
      rx: Number(rx),
      tx: Number(tx),
      keepalive: keepalive === 'off' ? 0 : Number(keepalive),
    })
  }
  return { listenPort: Number(own[2]), peers }
}

async function wg(...args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run('wg', args, { timeout: TIME_LIMIT_MS, maxBuffer: OUTPUT_BYTES_MAX })
    return stdout
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string }
    if (code === 'ENOENT')
      throw new Error('the program wg is not installed (wireguard-tools)', { cause: error })
    // The command line has no secrets, the output of a failure has none either.
    throw new Error(stderr?.trim() || `wg ${args[0]} failed`, { cause: error })
  }
}
