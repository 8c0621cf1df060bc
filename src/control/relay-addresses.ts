// Where a relay listens: the settings' endpoints with every host filled in, and the bound addresses once it serves. Runs
// on the control thread.

import type { RunPorts } from './run-messages.ts'
import type { Endpoint } from '#config/endpoint.ts'
import type { Settings } from '#config/settings.ts'
import { wildcardAddress } from '#transport/wildcard-address.ts'

/** The addresses that a running relay listens on; port 0 of the settings is replaced by the real port. */
export interface RelayAddresses {
  readonly derp: Endpoint
  readonly http: Endpoint | undefined
  readonly stun: Endpoint | undefined
  readonly admin: Endpoint | undefined
  readonly lane: Endpoint | undefined
}

/** The settings with a host for every listener: those without one listen on all addresses of this machine. */
export async function withHosts(settings: Settings): Promise<Settings> {
  const all = await wildcardAddress()
  const withHost = (at: Endpoint): Endpoint => ({ host: at.host === '' ? all : at.host, port: at.port })
  const { derp, http, stun, admin, lane } = settings
  return {
    ...settings,
    derp: withHost(derp),
    http: http && withHost(http),
    stun: stun && withHost(stun),
    admin: admin && withHost(admin),
    lane: lane && { ...lane, endpoint: withHost(lane.endpoint) },
  }
}

/** The ports that two runs of a relay share. */
export function portsOf({ derp, http, stun, admin }: RelayAddresses): RunPorts {
  const entries = Object.entries({ derp, http, stun, admin }).flatMap(([name, endpoint]) =>
    endpoint === undefined ? [] : [[name, endpoint.port]],
  )
  return Object.fromEntries(entries) as RunPorts
}
