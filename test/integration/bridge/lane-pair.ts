// Two stock WireGuard peers on the lane of a relay, on the hosts of a lab behind routers of their own.

import { join } from 'node:path'
import { lanePeer, LaneFiles } from '../../support/lane-lab.ts'
import { MIDDLE, type LabEnd } from '../../support/vpn-lab.ts'
import { wireguardKey, type WireguardPeer } from '../../support/wireguard.ts'
import { LabRelay } from './lab-relay.ts'

/** In the tunnel. */
export const LANE_INSIDE = { alice: '198.19.6.1', bob: '198.19.6.2' } as const
const LANE_AT = `${MIDDLE}:51820`

export class LanePair implements AsyncDisposable {
  readonly relay: LabRelay
  readonly peers: Partial<Record<LabEnd, WireguardPeer>> = {}
  readonly #files: LaneFiles

  private constructor(relay: LabRelay, files: LaneFiles) {
    this.relay = relay
    this.#files = files
  }

  /** @param program the path of wireguard-go @param keepaliveS of the block for the lane */
  static async start(program: string, keepaliveS?: number): Promise<LanePair> {
    const keys = { alice: wireguardKey(), bob: wireguardKey() }
    const files = new LaneFiles([
      { name: 'alice', key: keys.alice },
      { name: 'bob', key: keys.bob, links: ['alice'] },
    ])
    const lane = ['-lane', LANE_AT, '-lane-key-file', join(files.folder, 'lane.key')]
    const relay = await LabRelay.make(['-open-relay', ...lane, '-lane-roster', files.rosterPath])
    const pair = new LanePair(relay, files)
    for (const end of ['alice', 'bob'] as const) {
      const other = end === 'alice' ? 'bob' : 'alice'
      pair.peers[end] = await lanePeer({
        program,
        host: { command: (command, ...args) => relay.lab.command(end, command, ...args) },
        key: keys[end],
        address: LANE_INSIDE[end],
        lane: { key: files.key.publicKey, at: LANE_AT },
        peers: [{ key: keys[other].publicKey, address: LANE_INSIDE[other] }],
        ...(keepaliveS === undefined ? {} : { keepaliveS }),
      })
    }
    return pair
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of Object.values(this.peers)) await peer[Symbol.asyncDispose]()
    await this.relay[Symbol.asyncDispose]()
    this.#files[Symbol.dispose]()
  }
}
