// Two regions of two relays each in network namespaces, Frankfurt (900) and New York (901), and two Tailscale clients, alice and
// bob, whose home is Frankfurt.

import { Fleet, type FleetRelay } from './fleet.ts'
import { Lab } from './lab.ts'
import { startTailnet, type Tailnet } from './tailnet.ts'

const RELAYS: readonly (readonly [hostname: string, node: string])[] = [
  ['fra1.lab', '900a'],
  ['fra2.lab', '900b'],
  ['nyc1.lab', '901a'],
  ['nyc2.lab', '901b'],
]

/** A node of a region in the clients' map. */
export type LabNode = readonly [hostname: string, node: string]

export interface LabRegions {
  /** The fleet's file. */
  readonly file: string
  /** Further nodes of Frankfurt: relays that stand by for it. */
  readonly standbys: readonly LabNode[]
}

export class TwoRegionLab implements AsyncDisposable {
  lab!: Lab
  fleet!: Fleet
  net!: Tailnet
  relays!: readonly FleetRelay[]

  private constructor() {}

  static async make({ file, standbys }: LabRegions): Promise<TwoRegionLab> {
    const all = new TwoRegionLab()
    try {
      all.lab = await Lab.make(...RELAYS.map(([hostname]) => hostname), 'alice.lab', 'bob.lab')
      const { lab } = all
      all.fleet = await Fleet.make(file)
      const { fleet } = all
      all.relays = RELAYS.map(([hostname, node]) => ({ host: lab.host(hostname), hostname, node }))
      for (const relay of all.relays) await fleet.start(relay)
      const nodesOf = (id: number): readonly LabNode[] =>
        RELAYS.filter(([, node]) => node.startsWith(`${id}`))
      all.net = await startTailnet({
        lab: {
          controlAddress: lab.ownAddress,
          hosts: { alice: lab.host('alice.lab'), bob: lab.host('bob.lab') },
          derpMap: {
            regions: new Map([
              region(lab, { id: 900, code: 'fra', isNoHome: false, nodes: [...nodesOf(900), ...standbys] }),
              region(lab, { id: 901, code: 'nyc', isNoHome: true, nodes: nodesOf(901) }),
            ]),
          },
          homeRegion: 'fra',
          caPath: fleet.caPath,
        },
      })
      return all
    } catch (error) {
      await all[Symbol.asyncDispose]()
      throw error
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.net?.[Symbol.asyncDispose]()
    await this.fleet?.[Symbol.asyncDispose]()
    await this.lab?.[Symbol.asyncDispose]()
  }
}

interface LabRegion {
  readonly id: number
  readonly code: string
  /** Clients never choose it as their home. */
  readonly isNoHome: boolean
  readonly nodes: readonly LabNode[]
}

/** A region in Headscale's format. */
function region(lab: Lab, { id, code, isNoHome, nodes }: LabRegion): [number, object] {
  const entries = nodes.map(([hostname, node]) => ({
    name: node,
    regionid: id,
    hostname,
    ipv4: lab.host(hostname).address,
    ipv6: 'none',
  }))
  return [id, { regionid: id, regioncode: code, regionname: code, nomeasurenohome: isNoHome, nodes: entries }]
}
