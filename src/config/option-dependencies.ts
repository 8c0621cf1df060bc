// Options that have no effect without another option, or together with one. Such an option does not prevent the
// start, but the operator expects an effect, so each is named in a warning.

import type { Diagnostics } from './diagnostics.ts'
import { displayName, type Option } from './option.ts'
import type { OptionValues } from './option-values.ts'
import { OPTIONS, type ServeOptions } from './options.ts'

type OptionName = keyof ServeOptions

interface Dependency {
  /** The option needs one of these. TLS is not an option; it follows from several options. */
  readonly oneOf?: readonly (OptionName | 'TLS')[]
  /** The option has no effect together with this one. */
  readonly not?: OptionName
}

const MESH = ['mesh-with', 'mesh-dns', 'regions-file'] as const

const DEPENDENCIES: Readonly<Partial<Record<OptionName, Dependency>>> = {
  listen: { not: 'dev' },
  'key-file': { not: 'dev' },
  key: { not: 'dev' },
  'mesh-psk-file': { not: 'dev' },
  'stun-port': { oneOf: ['stun'] },
  'verbs-token-file': { oneOf: ['admin'] },
  region: { oneOf: ['regions-file'] },
  node: { oneOf: ['regions-file'] },
  'serve-map': { oneOf: ['regions-file'] },
  'map-key-file': { oneOf: ['regions-file'] },
  'serve-regions': { oneOf: ['regions-file'] },
  'map-removal': { oneOf: ['regions-file'] },
  'map-return': { oneOf: ['regions-file'] },
  'state-interval': { oneOf: MESH },
  'nats-credentials-file': { oneOf: ['nats-url'] },
  'nats-ca-file': { oneOf: ['nats-url'] },
  'nats-secret-file': { oneOf: ['nats-url'] },
  rebalance: { oneOf: ['regions-file'] },
  'mesh-ca-file': { oneOf: MESH },
  certdir: { oneOf: ['TLS'] },
  'tls-max-version': { oneOf: ['TLS'] },
  certmode: { oneOf: ['TLS'] },
  'acme-directory': { oneOf: ['TLS'] },
  'acme-email': { oneOf: ['TLS'] },
  'acme-eab-kid': { oneOf: ['TLS'] },
  'acme-eab-key': { oneOf: ['TLS'] },
  'acme-profile': { oneOf: ['TLS'] },
  'acme-ip-certs': { oneOf: ['TLS'] },
  'acme-challenge': { oneOf: ['TLS'] },
  socket: { oneOf: ['verify-clients'] },
  'verify-client-url-fail-open': { oneOf: ['verify-client-url'] },
  'verify-clients': { oneOf: ['derp'] },
  'verify-client-url': { oneOf: ['derp'] },
  'allow-keys-file': { oneOf: ['derp'] },
  'lease-file': { oneOf: ['derp'] },
  'lease-key': { oneOf: ['lease-file'] },
  'disallow-app-names': { oneOf: ['derp'] },
  'month-over': { oneOf: ['month-bytes'] },
  'accept-connection-limit': { oneOf: ['accept-connection-burst'] },
  'accept-connection-burst': { oneOf: ['accept-connection-limit'] },
  'lane-key-file': { oneOf: ['lane'] },
  'lane-roster': { oneOf: ['lane'] },
  'state-dir': { not: 'dev' },
}

/** Warns of each option that is set and has no effect. */
export function warnOfIneffectiveOptions(
  values: OptionValues<ServeOptions>,
  isTls: boolean,
  diagnostics: Diagnostics,
): void {
  const isOn = (name: OptionName | 'TLS'): boolean => (name === 'TLS' ? isTls : isSet(values.get(name)))
  for (const [name, { oneOf, not }] of Object.entries(DEPENDENCIES) as [OptionName, Dependency][]) {
    if (!isSetByOperator(values, name)) continue
    if (not !== undefined && isOn(not))
      diagnostics.addWarning(`${values.where(name)}: has no effect with ${shownName(not)}`)
    if (oneOf === undefined || oneOf.some(isOn)) continue
    diagnostics.addWarning(
      `${values.where(name)}: has no effect without ${oneOf.map(shownName).join(' or ')}`,
    )
  }
}

/** The operator has set the option, and not to a value that means off. */
function isSetByOperator(values: OptionValues<ServeOptions>, name: OptionName): boolean {
  const source = values.source(name)
  return source !== undefined && source !== 'preset' && isSet(values.get(name))
}

/** Whether the value means anything but off. */
function isSet(value: unknown): boolean {
  const isNothing =
    value === undefined || value === false || value === 0 || value === Infinity || value === 'off'
  return !isNothing && !(Array.isArray(value) && value.length === 0)
}

function shownName(name: OptionName | 'TLS'): string {
  if (name === 'TLS') return 'TLS'
  const option: Option = OPTIONS[name]
  return displayName(name, option)
}
