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

export class TwoRegionLab implements AsyncDisposable {
  lab!: Lab
  fleet!: Fleet
  net!: Tailnet
  relays!: readonly FleetRelay[]

  private constructor() {}

  /** @param standbys further nodes of Frankfurt: relays that stand by for it */
  static async make(...standbys: readonly LabNode[]): Promise<TwoRegionLab> {
    const all = new TwoRegionLab()
    try {
      all.lab = await Lab.make(...RELAYS.map(([hostname]) => hostname), 'alice.lab', 'bob.lab')
      const { lab } = all
      const nodes = { fra: [...nodesOf(900), ...standbys], nyc: nodesOf(901) }
      all.fleet = await Fleet.make(fleetFile(nodes))
      const { fleet } = all
      all.relays = RELAYS.map(([hostname, node]) => ({ host: lab.host(hostname), hostname, node }))
      await Promise.all(all.relays.map(async (relay) => await fleet.start(relay)))
      all.net = await startTailnet({
        lab: {
          controlAddress: lab.ownAddress,
          hosts: { alice: lab.host('alice.lab'), bob: lab.host('bob.lab') },
          derpMap: {
            regions: new Map([
              region(lab, { id: 900, code: 'fra', isNoHome: false, nodes: nodes.fra }),
              region(lab, { id: 901, code: 'nyc', isNoHome: true, nodes: nodes.nyc }),
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

function nodesOf(id: number): readonly LabNode[] {
  return RELAYS.filter(([, node]) => node.startsWith(`${id}`))
}

/** The same regions as the fleet's file has them. */
function fleetFile({ fra, nyc }: Record<'fra' | 'nyc', readonly LabNode[]>): string {
  const nodes = (all: readonly LabNode[]): object[] => all.map(([hostname, name]) => ({ name, hostname }))
  return JSON.stringify({
    regions: { 900: { code: 'fra', nodes: nodes(fra) }, 901: { code: 'nyc', nodes: nodes(nyc) } },
  })
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
