// Options from environment variables: the relay's own names (DERPFLEET_…), those of the common derper image and
// derper's own. An empty variable counts as not set: images and charts declare names without values.

import { didYouMean, nearestWord } from './nearest-word.ts'
import { envNames, isOwnEnvName, type OptionTable } from './option.ts'
import { UNSUPPORTED_ENV } from './options.ts'
import type { RawOption, RawOptions } from './raw-option.ts'

export type Environment = Readonly<Record<string, string | undefined>>

export interface EnvironmentValues {
  readonly values: RawOptions
  readonly warnings: readonly string[]
}

/** Variables of this prefix that are no options: the tests' cache of foreign programs. */
const OTHER_OWN_NAMES: readonly string[] = ['DERPFLEET_CACHE']

/**
 * Kubernetes describes each service of a namespace to its pods in variables that begin with the service's name:
 * a service `derpfleet-stun` makes DERPFLEET_STUN_PORT=udp://10.0.0.1:3478.
 */
const SERVICE_LINK_VALUE = /^(tcp|udp|sctp):\/\//
const SERVICE_LINK_NAME = /_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$/

export function readEnvironment(table: OptionTable, env: Environment): EnvironmentValues {
  const values = new Map<string, RawOption>()
  const known = new Set<string>(OTHER_OWN_NAMES)
  for (const [word, option] of Object.entries(table)) {
    const names = envNames(word, option)
    for (const name of names) known.add(name)
    const name = names.find((candidate) => isSet(env[candidate]))
    if (name !== undefined) values.set(word, { text: env[name] ?? '', source: 'env', where: name })
  }
  const strangers = Object.keys(env).filter(
    (name) => isOwnEnvName(name) && !known.has(name) && isSet(env[name]) && !SERVICE_LINK_NAME.test(name),
  )
  const foreign = Object.keys(UNSUPPORTED_ENV).filter((name) => isSet(env[name]))
  return {
    values,
    warnings: [
      ...strangers.map((name) => `${name}: unknown variable${didYouMean(nearestWord(name, known))}`),
      ...foreign.map((name) => `${name}: has no effect here; ${UNSUPPORTED_ENV[name]}`),
    ],
  }
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== '' && !SERVICE_LINK_VALUE.test(value)
}
