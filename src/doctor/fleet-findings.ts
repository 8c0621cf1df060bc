// Judges the fleet as the relay sees it: links to siblings, keys, claims of nodes, versions. A pure function of the facts.

import type { FleetFacts, RelayFacts, SiblingFacts } from '#fleet/relay-facts.ts'
import { fail, listed, ok, skip, warn, type Finding } from './finding.ts'

export function fleetFindings(facts: RelayFacts): readonly Finding[] {
  const { siblings, fleet } = facts
  return [
    siblingsFinding(siblings),
    meshKey(siblings),
    nodeKey(siblings, fleet),
    nodes(fleet, siblings),
    versions(fleet),
  ]
}

function siblingsFinding(siblings: readonly SiblingFacts[]): Finding {
  if (siblings.length === 0) return skip('siblings', 'the relay has no siblings')
  // Those with a known cause have findings of their own.
  const down = siblings.filter(({ isUp, cause }) => !isUp && cause === undefined)
  if (down.length === 0) return ok('siblings', `${siblings.length} known`)
  return fail('siblings', {
    seen: listed(down.map(({ name, why }) => `${name}: ${why || 'not connected yet'}`)),
    expected: 'a link to each relay of the fleet',
    advice:
      'the relay named must run and its DERP port must be reachable from here, with a certificate that this host trusts (-mesh-ca-file); "mesh" in the regions file names another address to dial',
  })
}

function meshKey(siblings: readonly SiblingFacts[]): Finding {
  if (siblings.length === 0) return skip('mesh-key', 'the relay has no siblings')
  const other = siblings.filter(({ cause }) => cause === 'meshKey')
  if (other.length === 0) return ok('mesh-key', 'no sibling refuses it')
  return fail('mesh-key', {
    seen: listed(other.map(({ name, why }) => `${name} ${why}`)),
    expected: 'one mesh key on all relays of the fleet',
    advice: 'copy the mesh key file to the relays named, and derpfleet reload there; see docs/fleet.md',
  })
}

function nodeKey(siblings: readonly SiblingFacts[], { conflicts }: FleetFacts): Finding {
  const copied = [
    ...siblings.filter(({ cause }) => cause === 'nodeKey').map(({ name, why }) => `${name} ${why}`),
    ...conflicts
      .filter(({ what }) => what === 'key')
      .map(({ owner }) => `two relays tell of themselves as ${owner}`),
  ]
  if (copied.length === 0) return ok('node-key', 'each relay has a key of its own')
  return fail('node-key', {
    seen: listed(copied),
    expected:
      'a node key of its own for each relay; the two do not mesh, and clients mistake one for the other',
    advice: 'on one of the two: derpfleet keygen -o derper.key, and restart it',
  })
}

function nodes({ conflicts, relays, majority }: FleetFacts, siblings: readonly SiblingFacts[]): Finding {
  const claims = conflicts.filter(({ what }) => what !== 'key')
  if (claims.length > 0) {
    return fail('nodes', {
      seen: listed(claims.map(({ what, owner, other }) => `${what} is claimed by ${owner} and by ${other}`)),
      expected: 'one relay for each node of the regions file',
      advice: 'give each relay its own -hostname or -node, and each an entry of its own in the regions file',
    })
  }
  const { seen, expected, isMajority } = majority
  const down = relays.filter(({ isListed, state }) => isListed && state === 'down')
  if (down.length > 0) {
    const meanwhile = isMajority
      ? 'the map does not have them meanwhile'
      : `this relay sees ${seen} of ${expected} relays, no majority, so its map keeps their regions meanwhile`
    return warn('nodes', {
      seen: `down: ${listed(down.map(({ name, nodes: names }) => `${name} (${names.join(' ')})`))}`,
      expected: 'all relays of the regions file',
      advice: `start them, or take them out of the file; ${meanwhile}`,
    })
  }
  if (!isMajority && siblings.some(({ isUp }) => !isUp)) {
    return skip('nodes', `${seen} of ${expected} relays seen, because siblings are not linked`)
  }
  if (!isMajority) {
    return fail('nodes', {
      seen: `this relay sees ${seen} of ${expected} relays`,
      expected: 'a majority; without it the relay serves the map that it had',
      advice: 'look at the network of this relay first: others may see each other',
    })
  }
  return ok('nodes', `${seen} of ${expected} relays seen`)
}

/** N and N−1 mix, so that a fleet can be upgraded relay by relay. */
function versions({ relays }: FleetFacts): Finding {
  const known = relays.flatMap(({ name, state, last }) =>
    last === undefined || state === 'down' ? [] : [{ name, version: last.version }],
  )
  const all = [...new Set(known.map(({ version }) => version))].sort(byVersion)
  const [oldest = '', newest = ''] = [all[0], all.at(-1)]
  if (all.length <= 1) return ok('versions', oldest === '' ? 'not known' : `all have ${oldest}`)
  const text = all.map((version) => {
    const names = known.filter((one) => one.version === version).map(({ name }) => name)
    return `${version}: ${listed(names)}`
  })
  const problem = {
    seen: text.join('; '),
    expected: 'one version in the fleet, or two that follow each other while it is upgraded',
    advice: `upgrade the relays with ${oldest}`,
  }
  return isNext(oldest, newest) ? warn('versions', problem) : fail('versions', problem)
}

function byVersion(a: string, b: string): number {
  const [one, other] = [partsOf(a), partsOf(b)]
  const at = one.findIndex((part, i) => part !== other[i])
  return at < 0 ? 0 : (one[at] ?? 0) - (other[at] ?? 0)
}

/** Whether two versions may be in one fleet for long enough to upgrade it. */
function isNext(older: string, newer: string): boolean {
  const [[major = 0, minor = 0], [nextMajor = 0, nextMinor = 0]] = [partsOf(older), partsOf(newer)]
  return major === nextMajor && nextMinor - minor <= 1
}

function partsOf(version: string): readonly number[] {
  const [, major, minor, patch] = /^(\d+)\.(\d+)\.(\d+)/.exec(version) ?? []
  return [Number(major ?? 0), Number(minor ?? 0), Number(patch ?? 0)]
}
