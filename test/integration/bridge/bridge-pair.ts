// A bridge on each host of a lab for a VPN other than WireGuard, each with a configuration and a key of its own.

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { newKeyPair } from '#client/derp-client.ts'
import { formatKeyFile } from '#protocol/key-file.ts'
import { publicKeyText } from '#protocol/node-key.ts'
import type { RunningProcess } from '../../support/process.ts'
import type { LabEnd } from '../../support/vpn-lab.ts'
import type { LabRelay } from './lab-relay.ts'

export class BridgePair {
  readonly processes: Partial<Record<LabEnd, RunningProcess>> = {}
  readonly #relay: LabRelay

  private constructor(relay: LabRelay) {
    this.#relay = relay
  }

  /** @param lines of each bridge's configuration, for its only peer */
  static async start(
    relay: LabRelay,
    lines: Readonly<Record<LabEnd, readonly string[]>>,
  ): Promise<BridgePair> {
    const pair = new BridgePair(relay)
    const keys = { alice: newKeyPair(), bob: newKeyPair() }
    for (const end of ['alice', 'bob'] as const) {
      const other = end === 'alice' ? 'bob' : 'alice'
      const keyPath = join(relay.folder, `${end}.key`)
      await writeFile(keyPath, formatKeyFile(keys[end]), { mode: 0o600 })
      const peer = [`name: ${other}`, `key: ${publicKeyText(keys[other].publicKey)}`, ...lines[end]]
      await writeFile(pair.#configOf(end), `key-file: ${keyPath}\npeers:\n  - ${peer.join('\n    ')}\n`)
      pair.processes[end] = await relay.startBridge(end, pair.#configOf(end))
    }
    return pair
  }

  /** Kills a bridge and starts it anew. */
  async restart(end: LabEnd): Promise<void> {
    this.processes[end]?.signal('SIGKILL')
    await this.processes[end]?.exited
    this.processes[end] = await this.#relay.startBridge(end, this.#configOf(end))
  }

  #configOf(end: LabEnd): string {
    return join(this.#relay.folder, `${end}.yaml`)
  }
}
