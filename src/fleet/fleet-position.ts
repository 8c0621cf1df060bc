// Who belongs to the mesh, and what each is to this relay: from the regions of the fleet, with this relay found in
// them by its name. Pure; where the regions come from, and who dials, is others' business.

/** A relay of the fleet, as its regions have it. */
export interface FleetRelay {
  readonly name: string
  readonly hostname: string
  readonly port: number
  readonly meshHost: string | undefined
  readonly certName: string | undefined
}

export interface FleetRegionMembers {
  readonly id: number
  readonly nodes: readonly FleetRelay[]
}

/** One sibling to have a link to. */
export interface Member {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly dialHost: string | undefined
  readonly certName: string | undefined
  readonly isInside: boolean
  /** We are told of its keys. */
  readonly isWatched: boolean
  /** Its names as a node of the DERP map. */
  readonly nodes: readonly string[]
}

const HTTPS_PORT = 443

/** How this relay knows itself among the others. */
export interface Self {
  readonly hostname: string
  /** Its name in the fleet's file, for when its host name stands there for several relays. */
  readonly node: string | undefined
  /** Its region, where the file does not say. */
  readonly region: number | undefined
  /** Keys of other regions are looked for in a directory, and their relays need not be watched. */
  readonly hasDirectory: boolean
}

/** This relay's place in the fleet. */
export interface Standing {
  /** What it is called by its siblings; undefined if the file does not know it, or it may be one of several. */
  readonly name: string | undefined
  readonly regions: ReadonlySet<number>
  /** Its names as a node of the DERP map; several for a standby. */
  readonly nodes: readonly string[]
  /** Everybody else, each once; this relay, too, where it can't be told. */
  readonly members: readonly Member[]
}

/** Inside is who shares a region with this relay, a standby for one of its regions included. */
export function standingIn(regions: readonly FleetRegionMembers[], self: Self): Standing {
  const all = regions.flatMap(({ nodes }) => nodes)
  const names = new Set(ownRelays(all, self).map(relayName))
  const [name] = names.size === 1 ? names : []
  const own = regions.filter(({ nodes }) => nodes.some((node) => names.has(relayName(node))))
  const ids = new Set(own.map(({ id }) => id))
  if (self.region !== undefined) ids.add(self.region)
  const members = membersOf(regions, ids, self.hasDirectory).filter((member) => member.name !== name)
  const nodes = name === undefined ? [] : all.filter((one) => relayName(one) === name).map((one) => one.name)
  return { name, regions: ids, nodes, members }
}

function ownRelays(all: readonly FleetRelay[], { hostname, node }: Self): readonly FleetRelay[] {
  if (node !== undefined) return all.filter(({ name }) => name === node)
  // DNS names are the same in any case.
  return all.filter((relay) => relay.hostname.toLowerCase() === hostname.toLowerCase())
}

function membersOf(
  regions: readonly FleetRegionMembers[],
  own: ReadonlySet<number>,
  hasDirectory: boolean,
): readonly Member[] {
  const members = new Map<string, Member>()
  for (const { id, nodes } of regions) {
    for (const relay of nodes) {
      const name = relayName(relay)
      const known = members.get(name)
      const isInside = own.has(id) || known?.isInside === true
      members.set(name, {
        name,
        host: relay.hostname,
        port: relay.port,
        dialHost: relay.meshHost,
        certName: relay.certName,
        isInside,
        isWatched: isInside || !hasDirectory,
        nodes: [...(known?.nodes ?? []), relay.name],
      })
    }
  }
  return [...members.values()]
}

/** The same for all entries of one relay, and for no other's: several may share a host name that leads to the nearest. */
function relayName({ hostname, port, meshHost }: FleetRelay): string {
  const at = port === HTTPS_PORT ? hostname : `${hostname}:${port}`
  return (meshHost === undefined ? at : `${at}/${meshHost}`).toLowerCase()
}
