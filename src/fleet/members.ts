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

export interface Self {
  readonly hostname: string
  readonly port: number
  /** Keys of other regions are looked for in a directory, and their relays need not be watched. */
  readonly hasDirectory: boolean
}

/** The regions that a relay of this name stands in; none if the fleet does not know it. */
export function regionsOf(regions: readonly FleetRegionMembers[], hostname: string): ReadonlySet<number> {
  const own = regions.filter(({ nodes }) => nodes.some((node) => isName(node.hostname, hostname)))
  return new Set(own.map(({ id }) => id))
}

/**
 * Every relay of the fleet but those of this relay's own name and port, each once. Inside is who shares a region with
 * us, a standby for one of ours included.
 *
 * @param own the regions that this relay is of
 */
export function membersOf(
  regions: readonly FleetRegionMembers[],
  own: ReadonlySet<number>,
  self: Self,
): readonly Member[] {
  const members = new Map<string, Member>()
  for (const { id, nodes } of regions) {
    for (const { name: node, hostname, port, meshHost, certName } of nodes) {
      if (isName(hostname, self.hostname) && port === self.port) continue
      const name = memberName(hostname, port)
      const known = members.get(name)
      const isInside = own.has(id) || known?.isInside === true
      members.set(name, {
        name,
        host: hostname,
        port,
        dialHost: meshHost,
        certName,
        isInside,
        isWatched: isInside || !self.hasDirectory,
        nodes: [...(known?.nodes ?? []), node],
      })
    }
  }
  return [...members.values()]
}

/** What a relay is called among its siblings. */
export function memberName(hostname: string, port: number): string {
  return port === HTTPS_PORT ? hostname : `${hostname}:${port}`
}

/** DNS names are the same in any case. */
function isName(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase()
}
