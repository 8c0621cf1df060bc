// Options that have no effect without another option, or together with one. Such an option does not prevent the start,
// but the operator expects an effect, so each is named in a warning.

import type { Diagnostics } from './diagnostics.ts'
import { displayName, type Option } from './option.ts'
import type { OptionValues } from './option-values.ts'
import { OPTIONS, type ServeOptions } from './options.ts'

type Word = keyof ServeOptions

interface Need {
  /** The option needs one of these. TLS is not an option; it follows from several options. */
  readonly oneOf?: readonly (Word | 'TLS')[]
  /** The option has no effect together with this one. */
  readonly not?: Word
}

const MESH = ['mesh-with', 'mesh-dns', 'regions-file'] as const

const NEEDS: Readonly<Partial<Record<Word, Need>>> = {
  listen: { not: 'dev' },
  'key-file': { not: 'dev' },
  key: { not: 'dev' },
  'mesh-psk-file': { not: 'dev' },
  'stun-port': { oneOf: ['stun'] },
  region: { oneOf: ['regions-file'] },
  node: { oneOf: ['regions-file'] },
  'nats-credentials-file': { oneOf: ['nats-url'] },
  'nats-ca-file': { oneOf: ['nats-url'] },
  'nats-secret-file': { oneOf: ['nats-url'] },
  rebalance: { oneOf: ['regions-file'] },
  'mesh-ca-file': { oneOf: MESH },
  certdir: { oneOf: ['TLS'] },
  'tls-max-version': { oneOf: ['TLS'] },
  socket: { oneOf: ['verify-clients'] },
  'verify-client-url-fail-open': { oneOf: ['verify-client-url'] },
  'verify-clients': { oneOf: ['derp'] },
  'verify-client-url': { oneOf: ['derp'] },
  'disallow-app-names': { oneOf: ['derp'] },
  'accept-connection-limit': { oneOf: ['accept-connection-burst'] },
  'accept-connection-burst': { oneOf: ['accept-connection-limit'] },
  'state-dir': { oneOf: ['quick-start'] },
}

/** Warns of each option that is set and has no effect. */
export function warnOfIneffectiveOptions(
  values: OptionValues<ServeOptions>,
  isTls: boolean,
  diagnostics: Diagnostics,
): void {
  const isOn = (word: Word | 'TLS'): boolean => (word === 'TLS' ? isTls : isSet(values.get(word)))
  for (const [word, { oneOf, not }] of Object.entries(NEEDS) as [Word, Need][]) {
    if (!isNamed(values, word)) continue
    if (not !== undefined && isOn(not))
      diagnostics.addWarning(`${values.where(word)}: has no effect with ${nameOf(not)}`)
    if (oneOf === undefined || oneOf.some(isOn)) continue
    diagnostics.addWarning(`${values.where(word)}: has no effect without ${oneOf.map(nameOf).join(' or ')}`)
  }
}

/** The operator has set the option, and not to a value that means off. */
function isNamed(values: OptionValues<ServeOptions>, word: Word): boolean {
  const source = values.source(word)
  return source !== undefined && source !== 'preset' && isSet(values.get(word))
}

/** Whether the value means anything but off. */
function isSet(value: unknown): boolean {
  const isNothing = value === undefined || value === false || value === 0 || value === Infinity
  return !isNothing && !(Array.isArray(value) && value.length === 0)
}

function nameOf(word: Word | 'TLS'): string {
  if (word === 'TLS') return 'TLS'
  const option: Option = OPTIONS[word]
  return displayName(word, option)
}
