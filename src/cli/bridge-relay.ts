// How a bridge reaches the relay by what the command line says: by URLs, or by a DERP map, which is followed. In both cases outside
// of the tunnel that the bridge carries.

import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import type { RelayWay } from '#bridge/bridge.ts'
import { wayByMap, wayByUrls } from '#bridge/relay-way.ts'
import type { RawCalls } from '#bridge/wireguard-port.ts'
import type { RouteGuard } from '#bridge/route-guard.ts'
import type { RelayMap } from '#client/home-client.ts'
import type { DerpMap } from '#fleet/derp-map-reader.ts'
import { MapFollower } from '#probe/map-follower.ts'
import type { DatagramCallsOf } from '#protocol/datagram-calls.ts'
import { datagramCalls } from '#transport/datagram-calls.ts'
import { addressOf, loadFunctions, loadNative } from '#transport/native.ts'
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

/** Undefined without koffi. */
export async function datagramCallsOf(): Promise<DatagramCallsOf | undefined> {
  const native = await loadNative().catch(() => undefined)
  return native && ((socket) => datagramCalls(socket, native))
}

/**
 * For a port that is shared with WireGuard.
 *
 * @throws Error without koffi
 */
export async function rawCalls(): Promise<RawCalls> {
  // Its users run on systems where this works.
  await loadNative()
  const calls = await loadFunctions({
    socket: 'int socket(int, int, int)',
    setsockopt: 'int setsockopt(int, int, int, void *, uint32_t)',
    sendto: 'intptr_t sendto(int, void *, size_t, int, void *, uint32_t)',
    recvfrom: 'intptr_t recvfrom(int, void *, size_t, int, void *, void *)',
    close: 'int close(int)',
  })
  return { ...calls, addressOf }
}

const MAP_MS_MAX = 10_000
/** Relays come and go in minutes; a map that has not changed costs a line. */
const MAP_EVERY_MS = 60_000

/**
 * @param log hears of maps that cannot be used, each reason once
 * @throws Error if there is no map to begin with
 */
export async function relayWayOf(
  { settings, relay, map, authorities }: Pick<BridgeRequest, 'settings' | 'relay' | 'map' | 'authorities'>,
  guard: RouteGuard,
  log: (message: string) => void,
  everyMs = MAP_EVERY_MS,
): Promise<RelayWay> {
  const { key } = settings
  if (map === undefined) {
    return wayByUrls(key, { ...relay, protect: async (address) => await guard.protect(address) })
  }
  const { isInsecure = false } = relay.tls
  const access = { timeoutMs: MAP_MS_MAX, authorities, isInsecure }
  const follower = new MapFollower({ targets: [map], access, key: undefined })
  const { found, failures } = await follower.look()
  if (found === undefined) throw new Error(`the map cannot be used: ${failures.join(', ')}`)
  await protectRelays(found.map, guard)
  const way = wayByMap(key, { map: relayMapOf(found.map), trust: { authorities, isInsecure } })
  let [last, problem] = [found.text, '']
  const lookAgain = async (): Promise<void> => {
    const look = await follower.look()
    const failure = look.failures.join(', ')
    if (failure !== problem && failure !== '') log(`the last map stays: ${failure}`)
    problem = failure
    if (look.found === undefined || look.found.text === last) return
    last = look.found.text
    await protectRelays(look.found.map, guard)
    log('the map has changed')
    way.setMap(relayMapOf(look.found.map))
  }
  const timer = setInterval(() => void lookAgain(), everyMs)
  return {
    ...way,
    // Not spread: they change.
    get link() {
      return way.link
    },
    get descriptor() {
      return way.descriptor
    },
    destroy: () => {
      clearInterval(timer)
      way.destroy()
    },
  }
}

function relayMapOf({ regions, scores }: DerpMap): RelayMap {
  return { regions, regionScores: scores }
}

async function protectRelays({ regions }: DerpMap, guard: RouteGuard): Promise<void> {
  for (const node of regions.flatMap(({ nodes }) => nodes)) {
    const names = [node.ipv4, node.ipv6, node.hostname].filter((name) => name !== undefined)
    for (const name of names) await protectName(name, guard)
  }
}

async function protectName(name: string, guard: RouteGuard): Promise<void> {
  const found = isIP(name) === 0 ? await lookup(name, { all: true }).catch(() => []) : [{ address: name }]
  for (const { address } of found) await guard.protect(address)
}
