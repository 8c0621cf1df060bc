// Resolves where the relay listens, by derper's rules: TLS if the DERP port is 443, an HTTP port only together with TLS, STUN and
// HTTP on the address of the DERP port. An operator who says where certificates come from means TLS on any port.

import { ACME_OPTIONS } from './acme-options.ts'
import type { Diagnostics } from './diagnostics.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'
import { endpointText, isEveryAddress, isLoopback, type Endpoint } from './endpoint.ts'

export interface Listeners {
  readonly derp: Endpoint
  readonly http: Endpoint | undefined
  readonly stun: Endpoint | undefined
  readonly admin: Endpoint | undefined
  readonly isTls: boolean
}

/** derper's port in `-dev` mode ("above the keys DERP"). */
const DEV_PORT = 3340

export function resolveListeners(values: OptionValues<ServeOptions>, diagnostics: Diagnostics): Listeners {
  const derp = values.get('dev') ? { host: '', port: DEV_PORT } : values.get('listen')
  const isTls = speaksTls(values, derp)
  const httpPort = values.get('http-port')
  const stunPort = values.get('stun-port')
  const admin = values.get('admin')
  const hasHttp = isTls && httpPort !== -1
  if (!isTls && httpPort !== -1 && values.source('http-port') !== undefined) {
    diagnostics.addWarning(
      `${values.where('http-port')} ${httpPort}: has no effect, because the DERP port serves plain HTTP`,
    )
  }
  if (!isTls && values.get('tls') === 'auto' && !values.get('dev')) warnOfPlainHttp(values, derp, diagnostics)
  if (admin !== 'off' && !isLoopback(admin.host)) {
    const token =
      values.get('verbs-token-file') === undefined ? '' : ', and the token of verbs is not encrypted'
    diagnostics.addWarning(
      `${values.where('admin')} ${endpointText(admin)}: the admin pages have no authentication${token}; do not expose this address to the internet`,
    )
  }
  const listeners = {
    derp,
    isTls,
    http: hasHttp ? { host: derp.host, port: httpPort } : undefined,
    stun: values.get('stun') ? { host: derp.host, port: stunPort } : undefined,
    admin: admin === 'off' ? undefined : admin,
  }
  checkPorts(values, listeners, diagnostics)
  return listeners
}

/** Options that say where certificates come from: who sets one of them means TLS. */
const CERTIFICATE_OPTIONS = ['certmode', ...ACME_OPTIONS] as const

function speaksTls(values: OptionValues<ServeOptions>, derp: Endpoint): boolean {
  const tls = values.get('tls')
  if (tls !== 'auto') return tls === 'on'
  return derp.port === 443 || CERTIFICATE_OPTIONS.some((name) => values.isGiven(name))
}

/**
 * derper, too, speaks plain HTTP by default on every port except 443, without a warning.
 */
function warnOfPlainHttp(values: OptionValues<ServeOptions>, derp: Endpoint, diagnostics: Diagnostics): void {
  if (isLoopback(derp.host) || !values.areValid('listen', 'certmode', 'tls')) return
  diagnostics.addWarning(
    `${values.where('listen')}: port ${derp.port} serves plain HTTP, as derper does on every port except 443; for TLS, use port 443 or set -certmode; if a proxy in front terminates TLS, set -tls off`,
  )
}

/** Relay threads share their port, so two listeners on one port would share it without an error. */
function checkPorts(
  values: OptionValues<ServeOptions>,
  listeners: Listeners,
  diagnostics: Diagnostics,
): void {
  const { derp, http, admin } = listeners
  const listening = [
    { option: values.get('dev') ? 'dev' : 'listen', at: derp },
    { option: 'http-port', at: http },
    { option: 'admin', at: admin },
  ] as const
  for (const [index, { option, at }] of listening.entries()) {
    const other = listening
      .slice(0, index)
      .find((earlier) => at && earlier.at && areOnOnePort(at, earlier.at))
    if (at === undefined || other === undefined || !values.areValid(option, other.option)) continue
    diagnostics.addProblem(
      values.where(option),
      `port ${at.port} is already used by ${values.where(other.option)}`,
      'a different port',
    )
  }
}

function areOnOnePort(a: Endpoint, b: Endpoint): boolean {
  const isSameHost = a.host === b.host || isEveryAddress(a.host) || isEveryAddress(b.host)
  return isSameHost && a.port === b.port && a.port !== 0
}
