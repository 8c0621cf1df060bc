// Reads options from environment variables: the relay's own names (DERPFLEET_…), the names of the common derper
// image, and derper's own. An empty variable counts as not set, because images and charts declare names without
// values.

import { didYouMean, nearestWord } from './nearest-word.ts'
import { envNames, isOwnEnvName, type OptionTable } from './option.ts'
import type { RawOption, RawOptions } from './raw-option.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface EnvironmentValues {
  readonly values: RawOptions
  readonly warnings: readonly string[]
}

/** derper's environment variables that have no effect here, and the reason or the alternative. */
const UNSUPPORTED_ENV: Readonly<Record<string, string>> = {
  DERP_DEBUG_LOGS: 'use -log-level debug',
  DERP_PROBER_DEBUG_LOGS: 'use -log-level debug',
  TS_DEBUG_VERBOSE_DROPS: 'use -log-level debug',
  TS_DERP_DISABLE_RTT_STATS: 'use -native off; round trips cost next to nothing',
  TS_DERP_SENDER_CARDINALITY: 'senders are not counted',
  TS_ALLOW_DEBUG_IP: 'the pages are on -admin, not on the DERP port',
  TS_DEBUG_TRUSTED_CIDRS: 'the pages are on -admin, not on the DERP port',
  TS_DEBUG_KEY_PATH: 'the pages are on -admin, not on the DERP port',
}

/** Variables with the relay's prefix that are not options: the tests' cache of foreign programs, and bin/derpfleet's Node. */
const OTHER_OWN_VARIABLES: readonly string[] = ['DERPFLEET_CACHE', 'DERPFLEET_NODE_PROGRAM']

/**
 * Kubernetes describes each service of a namespace to its pods in variables that begin with the service's name:
 * a service `derpfleet-stun` makes DERPFLEET_STUN_PORT=udp://10.0.0.1:3478.
 */
const SERVICE_LINK_VALUE = /^(tcp|udp|sctp):\/\//
const SERVICE_LINK_NAME = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$/

export function readEnvironment(table: OptionTable, env: Environment): EnvironmentValues {
  const values = new Map<string, RawOption>()
  const known = new Set<string>(OTHER_OWN_VARIABLES)
  for (const [name, option] of Object.entries(table)) {
    const variables = envNames(name, option)
    for (const variable of variables) known.add(variable)
    const found = variables.find((variable) => isSet(env[variable]))
    if (found !== undefined) values.set(name, { text: env[found] ?? '', source: 'env', where: found })
  }
  const unknown = Object.keys(env).filter(
    (name) => isOwnEnvName(name) && !known.has(name) && isSet(env[name]) && !SERVICE_LINK_NAME.test(name),
  )
  const unsupported = Object.keys(UNSUPPORTED_ENV).filter((name) => isSet(env[name]))
  return {
    values,
    warnings: [
      ...unknown.map((name) => `${name}: unknown variable${didYouMean(nearestWord(name, known))}`),
      ...unsupported.map((name) => `${name}: has no effect here; ${UNSUPPORTED_ENV[name]}`),
    ],
  }
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && !SERVICE_LINK_VALUE.test(value)
}
