// How a bridge reaches the relay by what the command line says: by URLs, or by a DERP map, which is read once. In both cases outside
// of the tunnel that the bridge carries.

import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { RelayWay } from '#bridge/bridge.ts'
import { wayByMap, wayByUrls } from '#bridge/relay-way.ts'
import type { RouteGuard } from '#bridge/route-guard.ts'
import { loadMap } from '#probe/map-source.ts'
import { loadNative } from '#transport/native.ts'
import type { BridgeRequest } from './bridge-options.ts'

/** Enough to keep the connection busy until the process gets the next turn. */
const UNSENT_BYTES_MAX = 16_384

/**
 * What the kernel takes and cannot send waits in front of newer packets, and nobody can drop it: on a slow way up that is a second.
 * Without koffi it stays so.
 */
export async function limitUnsent(way: RelayWay): Promise<void> {
  const native = await loadNative().catch(() => undefined)
  way.on('connected', () => {
    if (way.descriptor !== undefined) native?.setUnsentLimit(way.descriptor, UNSENT_BYTES_MAX)
  })
}

const MAP_MS_MAX = 10_000

/** @throws Error if the map cannot be used */
export async function relayWayOf(
  { settings, relay, map, authorities }: BridgeRequest,
  guard: RouteGuard,
): Promise<RelayWay> {
  const { key } = settings
  if (map === undefined) {
    return wayByUrls(key, { ...relay, protect: async (address) => await guard.protect(address) })
  }
  const { isInsecure = false } = relay.tls
  const loaded = await loadMap(map, { timeoutMs: MAP_MS_MAX, authorities, isInsecure })
  if (loaded.map === undefined) throw new Error(`the map cannot be used: ${loaded.outcome.detail}`)
  const { regions, scores } = loaded.map
  for (const node of regions.flatMap(({ nodes }) => nodes)) {
    const names = [node.ipv4, node.ipv6, node.hostname].filter((name) => name !== undefined)
    for (const name of names) await protectName(name, guard)
  }
  return wayByMap(key, { map: { regions, regionScores: scores }, trust: { authorities, isInsecure } })
}

async function protectName(name: string, guard: RouteGuard): Promise<void> {
  const found = isIP(name) === 0 ? await lookup(name, { all: true }).catch(() => []) : [{ address: name }]
  for (const { address } of found) await guard.protect(address)
}
