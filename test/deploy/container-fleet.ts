// A region of two relays in containers, each on a host of a lab, with what an operator gives them: settings as variables, a
// regions file, a mesh key, certificates. What a relay keeps is in a volume of its own. Beside them are two Tailscale clients
// whose home is that region.

import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Container, ContainerOptions, Containers } from '../support/containers.ts'
import { issueCertificate, makeAuthority, type Certificate } from '../support/certificate.ts'
import { Lab, type LabHost } from '../support/lab.ts'
import { runOk, waitUntil } from '../support/process.ts'
import { startTailnet, type Tailnet } from '../support/tailnet.ts'

/** The user of the image. */
const USER = 65_532
const REGION = { id: 900, code: 'fra', name: 'Frankfurt' } as const
/** Where the image listens. */
const DERP_PORT = 8_443
const INSIDE = '/run/fleet'

export const NODES = { '900a': 'fra1.lab', '900b': 'fra2.lab' } as const
export type NodeName = keyof typeof NODES

export class ContainerFleet implements AsyncDisposable {
  readonly containers: Containers
  readonly lab: Lab
  /** regions.yaml, mesh.key, authority.crt, and certificates by host name; only the image's user may read them. */
  readonly folder: string

  private constructor(containers: Containers, lab: Lab) {
    this.containers = containers
    this.lab = lab
    this.folder = containers.folder()
  }

  static async make(containers: Containers): Promise<ContainerFleet> {
    const lab = await Lab.make(...Object.values(NODES), 'alice.lab', 'bob.lab')
    const fleet = new ContainerFleet(containers, lab)
    const { folder } = fleet
    writeFileSync(join(folder, 'mesh.key'), `${randomBytes(32).toString('hex')}\n`)
    writeFileSync(join(folder, 'regions.yaml'), fleet.regions)
    const authority: Certificate = await makeAuthority(folder, 'authority')
    for (const hostname of Object.values(NODES)) await issueCertificate(folder, hostname, authority)
    await runOk('chown', ['-R', `${USER}:${USER}`, folder])
    await runOk('chmod', ['-R', 'u=rX,go=', folder])
    return fleet
  }

  get regions(): string {
    const nodes = this.#nodes.map(
      ({ name, hostname, address }) =>
        `      - { name: ${name}, hostname: ${hostname}, ipv4: ${address}, ipv6: none, derpport: ${DERP_PORT} }\n`,
    )
    return `regions:\n  ${REGION.id}:\n    code: ${REGION.code}\n    name: ${REGION.name}\n    nodes:\n${nodes.join('')}`
  }

  /** What the two are told about the relay, beside the settings of the image. */
  options(host: LabHost, image: string): ContainerOptions {
    return {
      image,
      network: `/run/netns/${host.namespace}`,
      hosts: Object.fromEntries(this.#nodes.map(({ hostname, address }) => [hostname, address])),
      volumes: [`${this.folder}:${INSIDE}:ro`],
    }
  }

  /** Starts a relay, or starts it again with what it has kept; resolves when clients may be sent to it. */
  async start(node: NodeName, image: string): Promise<Container> {
    const hostname = NODES[node]
    const options = this.options(this.lab.host(hostname), image)
    const container = await this.containers.start(`relay-${node}`, {
      ...options,
      volumes: [...(options.volumes ?? []), `data-${node}:/data`],
      env: {
        DERPFLEET_HOSTNAME: hostname,
        DERPFLEET_NODE: node,
        DERPFLEET_REGIONS_FILE: `${INSIDE}/regions.yaml`,
        DERPFLEET_MESH_PSK_FILE: `${INSIDE}/mesh.key`,
        DERPFLEET_MESH_CA_FILE: `${INSIDE}/authority.crt`,
        DERPFLEET_CERTMODE: 'manual',
        DERPFLEET_CERTDIR: INSIDE,
        DERPFLEET_OPEN_RELAY: 'true',
        DERPFLEET_THREADS: '1',
      },
    })
    try {
      await waitUntil(`${node} is ready`, async () => {
        return (await container.exec('derpfleet', 'healthcheck', '-ready')).code === 0
      })
    } catch (error) {
      throw new Error(await container.log(), { cause: error })
    }
    return container
  }

  async startClients(): Promise<Tailnet> {
    const entries = this.#nodes.map(({ name, hostname, address }) => ({
      name,
      regionid: REGION.id,
      hostname,
      ipv4: address,
      ipv6: 'none',
      derpport: DERP_PORT,
    }))
    const region = { regionid: REGION.id, regioncode: REGION.code, regionname: REGION.name, nodes: entries }
    return await startTailnet({
      lab: {
        controlAddress: this.lab.ownAddress,
        hosts: { alice: this.lab.host('alice.lab'), bob: this.lab.host('bob.lab') },
        derpMap: { regions: new Map([[REGION.id, region]]) },
        homeRegion: REGION.code,
        caPath: join(this.folder, 'authority.crt'),
      },
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]()
  }

  get #nodes(): readonly { name: string; hostname: string; address: string }[] {
    return Object.entries(NODES).map(([name, hostname]) => {
      return { name, hostname, address: this.lab.host(hostname).address }
    })
  }
}
