// The bridge's connection to the relay: to the nearest of several URLs, or to the home of a DERP map by the rules of Tailscale's
// clients. Both find a dead connection within seconds.

import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { HomeClient, type HomeClientOptions, type RelayMap } from '#client/home-client.ts'
import { ReconnectingDerpClient } from '#client/reconnecting-derp-client.ts'
import type { MapNode } from '#client/relay-map.ts'
import { STUN_PORT } from '#protocol/default-ports.ts'
import type { KeyPair } from '#protocol/node-key.ts'
import type { RelayWay } from './bridge.ts'
import { RelayTargets, type RelayOptions } from './relay-targets.ts'
import type { LocalAddress } from './settings.ts'

/** For the relay's statistics. */
const APP_NAME = 'derpfleet-bridge'

export function wayByUrls(key: KeyPair, options: RelayOptions): RelayWay {
  const targets = new RelayTargets(options)
  const client = new ReconnectingDerpClient({
    key,
    appName: APP_NAME,
    isPreferred: true,
    liveness: {},
    // Never dialled: each attempt asks for its target.
    host: 'relay.invalid',
    findTarget: async () => await targets.next(),
  })
  client.on('connected', () => targets.worked())
  client.on('disconnected', () => targets.failed())
  return {
    get link() {
      return client
    },
    get descriptor() {
      return client.client.connection.descriptor
    },
    stunServers: async () => targets.addresses.map((host) => ({ host, port: STUN_PORT })),
    on: client.on.bind(client) as RelayWay['on'],
    start: () => client.start(),
    destroy: () => client.destroy(),
  }
}

/** The home's region decides; the other bridge may have another one where relays route between regions. */
export function wayByMap(
  key: KeyPair,
  options: Pick<HomeClientOptions, 'map' | 'trust'>,
): RelayWay & { setMap(map: RelayMap): void } {
  const home = new HomeClient({ ...options, key, appName: APP_NAME, liveness: {} })
  return {
    get link() {
      return home.client
    },
    get descriptor() {
      return home.client?.client.connection.descriptor
    },
    stunServers: async () => await stunServersOf(home.home?.nodes ?? []),
    on: home.on.bind(home) as RelayWay['on'],
    start: () => home.start(),
    setMap: (map) => home.setMap(map),
    destroy: () => void home.close(),
  }
}

async function stunServersOf(nodes: readonly MapNode[]): Promise<readonly LocalAddress[]> {
  const asked = nodes.filter(({ stunPort = STUN_PORT }) => stunPort > 0)
  const found = asked.map(async ({ ipv4, ipv6, hostname, stunPort = STUN_PORT }) => {
    const given = [ipv4, ipv6].filter((host) => host !== undefined && isIP(host) !== 0)
    const hosts = given.length > 0 ? given : await lookup(hostname, { all: true }).catch(() => [])
    return hosts.map((host) => ({
      host: typeof host === 'string' ? host : (host?.address ?? ''),
      port: stunPort,
    }))
  })
  return (await Promise.all(found)).flat()
}
