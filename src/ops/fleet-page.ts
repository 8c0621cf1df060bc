// The fleet's state as JSON for /fleet and `derpfleet status -fleet`: every relay as this relay knows it, and every node of
// the map, and the matrix of links. Fields are added, never renamed. Runs on the control thread.

/** A relay, with its last message as it came but for its links, which are in the matrix. */
interface FleetRelay {
  readonly name: string
  readonly isListed: boolean
  readonly isOwn: boolean
  readonly nodes: readonly string[]
  readonly state: string
  readonly knownBy: string
  readonly ageMs: number | undefined
  readonly last: { readonly links: readonly object[] } | undefined
  readonly problems: readonly string[]
}

export interface FleetContent {
  readonly relays: readonly FleetRelay[]
  readonly majority: { readonly seen: number; readonly expected: number; readonly isMajority: boolean }
  /** The links between relays, as the relay at the beginning of each has measured it. */
  readonly matrix: { readonly relays: readonly string[]; readonly links: readonly object[] }
  readonly conflicts: readonly object[]
  stateOf(nodeName: string): string
}

export function fleetBody(fleet: FleetContent): Readonly<Record<string, unknown>> {
  const { relays, majority, matrix, conflicts } = fleet
  const nodes = relays.filter(({ isListed }) => isListed).flatMap((relay) => relay.nodes)
  return {
    majority,
    relays: relays.map(relayBody),
    nodes: Object.fromEntries([...new Set(nodes)].map((node) => [node, fleet.stateOf(node)])),
    matrix,
    conflicts,
  }
}

function relayBody({ last, ageMs, ...relay }: FleetRelay): object {
  return { ...relay, ageMs: ageMs && Math.round(ageMs), last: last && { ...last, links: undefined } }
}

export function fleetText(fleet: FleetContent): string {
  return `${JSON.stringify(fleetBody(fleet))}\n`
}
