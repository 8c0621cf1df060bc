// Resolves the admission policy: which clients may use the relay. A relay that listens on a public address needs one
// of its operator: a check of clients, or -open-relay.

import { exists } from './file-text.ts'
import type { Diagnostics } from './diagnostics.ts'
import type { HostInfo } from './host-info.ts'
import { endpointText, isLoopback } from './endpoint.ts'
import type { Listeners } from './listener-settings.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'
import type { AdmissionSettings } from './settings.ts'

export function resolveAdmission(
  values: OptionValues<ServeOptions>,
  { derp }: Listeners,
  host: HostInfo,
  diagnostics: Diagnostics,
): AdmissionSettings {
  const verifyUrl = values.get('verify-client-url')
  const socket = values.get('verify-clients') ? (values.get('socket') ?? host.tailscaledSocket) : undefined
  if (socket !== undefined && !exists(socket)) {
    diagnostics.addWarning(
      `${socket}: this socket does not exist; no client is admitted until tailscaled runs`,
    )
  }
  const hasCheck = verifyUrl !== undefined || socket !== undefined
  const saysOpen = values.get('open-relay')
  if (saysOpen && hasCheck) {
    const check = verifyUrl === undefined ? 'verify-clients' : 'verify-client-url'
    diagnostics.addProblem(
      values.where('open-relay'),
      `conflicts with ${values.where(check)}`,
      'either an open relay or a check of clients',
    )
  }
  // An invalid value may have been meant as the policy, or as an address that is not public.
  const isKnown = values.areValid(
    'listen',
    'dev',
    'derp',
    'open-relay',
    'verify-clients',
    'verify-client-url',
  )
  if (isKnown && !saysOpen && !hasCheck && values.get('derp') && !isLoopback(derp.host)) {
    diagnostics.addProblem(
      values.where(values.get('dev') ? 'dev' : 'listen'),
      `${endpointText(derp)} is not loopback, and no admission policy is set`,
      '-verify-client-url URL (for Headscale: https://HEADSCALE/verify), ' +
        '-verify-clients (clients known to the local tailscaled), or -open-relay (every client)',
    )
  }
  return {
    isOpen: !hasCheck,
    verifyUrl,
    verifyUrlFailOpen: verifyUrl !== undefined && values.get('verify-client-url-fail-open'),
    tailscaledSocket: socket,
  }
}
