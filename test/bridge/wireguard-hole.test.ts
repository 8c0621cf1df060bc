// When WireGuard is pointed to a hole and back, with a WireGuard that records what it is told.

import { expect, it } from 'vitest'
import type { WgChange, WgControl, WgPeerState } from '#bridge/wg-control.ts'
import { WireguardHole } from '#bridge/wireguard-hole.ts'

const HOLE = '198.51.100.7:51820'
const BRIDGE = '127.0.0.1:51830'

class Lab {
  hole: string | undefined = undefined
  peer: WgPeerState = { endpoint: BRIDGE, rx: 0, tx: 0, keepalive: 0 }
  readonly #wg: WgControl = {
    read: async () => await Promise.reject(new Error('not asked')),
    set: async (_key, change: WgChange) => {
      this.peer = { ...this.peer, ...change }
      return await Promise.resolve()
    },
  }
  readonly wireguardHole: WireguardHole

  constructor() {
    const hole = (): string | undefined => this.hole
    const side = {
      get hole() {
        return hole()
      },
      used: () => undefined,
    }
    this.wireguardHole = new WireguardHole({
      side,
      wg: this.#wg,
      publicKey: new Uint8Array(32),
      ownEndpoint: BRIDGE,
      isOwnInFile: false,
      log: () => undefined,
    })
  }

  async look(hole: string | undefined): Promise<void> {
    this.hole = hole
    await this.wireguardHole.look(this.peer)
  }
}

it('goes to the hole with a keepalive, and back to the bridge without when the hole is gone', async () => {
  const lab = new Lab()
  await lab.look(undefined)
  expect(lab.peer).toMatchObject({ endpoint: BRIDGE, keepalive: 0 })
  await lab.look(HOLE)
  expect(lab.peer).toMatchObject({ endpoint: HOLE, keepalive: 15 })
  await lab.look(undefined)
  expect(lab.peer).toMatchObject({ endpoint: BRIDGE, keepalive: 0 })
})

it('the same where WireGuard has followed the other side to the hole by itself', async () => {
  const lab = new Lab()
  await lab.look(undefined)
  lab.peer = { ...lab.peer, endpoint: HOLE }
  await lab.look(HOLE)
  expect(lab.peer).toMatchObject({ endpoint: HOLE, keepalive: 15 })
  await lab.look(undefined)
  expect(lab.peer).toMatchObject({ endpoint: BRIDGE, keepalive: 0 })
})
