// A lane on the lab's network, and stock WireGuard peers on its hosts that reach each other by it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LaneSettings } from '#config/settings.ts'
import { readRoster } from '#protocol/lane-roster.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import type { LabHost } from './lab.ts'
import { base64, wireguardKey, WireguardPeer } from './wireguard.ts'

/** A line of the roster. */
export interface RosterLine {
  readonly name: string
  readonly key: KeyPair
  readonly links?: readonly string[]
}

export function rosterText(lines: readonly RosterLine[]): string {
  return lines
    .map(({ name, key, links = [] }) => `${base64(key.publicKey)} ${[name, ...links].join(' ')}\n`)
    .join('')
}

/** The files of a lane, and its settings. */
export class LaneFiles implements Disposable {
  readonly key = wireguardKey()
  readonly folder = mkdtempSync(join(tmpdir(), 'lane-'))
  readonly rosterPath = join(this.folder, 'roster')

  constructor(lines: readonly RosterLine[]) {
    this.write(lines)
    writeFileSync(join(this.folder, 'lane.key'), `${base64(this.key.privateKey)}\n`, { mode: 0o600 })
  }

  write(lines: readonly RosterLine[]): void {
    writeFileSync(this.rosterPath, rosterText(lines))
  }

  settings(host: string, port: number, lines: readonly RosterLine[]): LaneSettings {
    const read = readRoster(this.rosterPath, rosterText(lines))
    if ('problems' in read) throw new Error(read.problems.join('\n'))
    return { endpoint: { host, port }, key: this.key, rosterPath: this.rosterPath, roster: read.roster }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export interface LanePeerOptions {
  readonly program: string
  readonly host: Pick<LabHost, 'command'>
  readonly key: KeyPair
  readonly address: string
  /** The lane's public key and address. */
  readonly lane: { readonly key: Uint8Array; readonly at: string }
  /** Of the lane's block. */
  readonly keepaliveS?: number
  /** The peers that it talks to: key and address in the tunnel. */
  readonly peers: readonly { readonly key: Uint8Array; readonly address: string }[]
}

/** A stock peer with one more block, for the lane. */
export async function lanePeer({
  lane,
  keepaliveS = 25,
  peers,
  ...options
}: LanePeerOptions): Promise<WireguardPeer> {
  return await WireguardPeer.start({
    ...options,
    peers: [
      { key: lane.key, endpoint: lane.at, keepaliveS },
      ...peers.map(({ key, address }) => ({ key, endpoint: lane.at, allowedIps: `${address}/32` })),
    ],
  })
}
