// The fleet's state as JSON for /fleet and `derpfleet status -fleet`: every relay as this relay knows it, and every node of
// the map. Fields are added, never renamed. Runs on the control thread.

/** A relay, with its last message as it came. */
interface FleetRelay {
  readonly name: string
  readonly isListed: boolean
  readonly isOwn: boolean
  readonly nodes: readonly string[]
  readonly state: string
  readonly knownBy: string
  readonly ageMs: number | undefined
  readonly last: object | undefined
  readonly problems: readonly string[]
}

export interface FleetContent {
  readonly relays: readonly FleetRelay[]
  readonly majority: { readonly seen: number; readonly expected: number; readonly isMajority: boolean }
  readonly conflicts: readonly object[]
  stateOf(nodeName: string): string
}

export function fleetBody(fleet: FleetContent): Readonly<Record<string, unknown>> {
  const { relays, majority, conflicts } = fleet
  const nodes = relays.filter(({ isListed }) => isListed).flatMap((relay) => relay.nodes)
  return {
    majority,
    relays: relays.map(roundedAge),
    nodes: Object.fromEntries([...new Set(nodes)].map((node) => [node, fleet.stateOf(node)])),
    conflicts,
  }
}

function roundedAge<Relay extends { readonly ageMs: number | undefined }>(relay: Relay): Relay {
  return { ...relay, ageMs: relay.ageMs && Math.round(relay.ageMs) }
}

export function fleetText(fleet: FleetContent): string {
  return `${JSON.stringify(fleetBody(fleet))}\n`
}
