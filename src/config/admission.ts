// Who may use the relay. A relay that the world can reach needs an answer to that from its operator: a check, or the
// word that it is open.

import { exists } from './file-text.ts'
import type { Findings } from './findings.ts'
import type { Host } from './host.ts'
import { endpointText, isLoopback, type Listeners } from './listeners.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'
import type { AdmissionSettings } from './settings.ts'

export function resolveAdmission(
  values: OptionValues<ServeOptions>,
  { derp }: Listeners,
  host: Host,
  findings: Findings,
): AdmissionSettings {
  const verifyUrl = values.get('verify-client-url')
  const socket = values.get('verify-clients') ? (values.get('socket') ?? host.tailscaledSocket) : undefined
  if (socket !== undefined && !exists(socket)) {
    findings.warn(`${socket}: tailscaled is not there yet; until it is, no client is admitted`)
  }
  const hasCheck = verifyUrl !== undefined || socket !== undefined
  const saysOpen = values.get('open-relay')
  if (saysOpen && hasCheck) {
    const check = verifyUrl === undefined ? 'verify-clients' : 'verify-client-url'
    findings.complain(
      values.where('open-relay'),
      `contradicts ${values.where(check)}`,
      'either an open relay or a check of its clients',
    )
  }
  // What cannot be read may have been the answer, or an address that is not public.
  const isKnown = values.areRead('listen', 'dev', 'derp', 'open-relay', 'verify-clients', 'verify-client-url')
  if (isKnown && !saysOpen && !hasCheck && values.get('derp') && !isLoopback(derp.host)) {
    findings.complain(
      values.where(values.get('dev') ? 'dev' : 'listen'),
      `${endpointText(derp)} is not loopback, and nothing says who may use this relay`,
      "-verify-client-url URL (Headscale's is https://HEADSCALE/verify), " +
        "or -verify-clients (whom this host's tailscaled knows), or -open-relay (anybody)",
    )
  }
  return {
    isOpen: !hasCheck,
    verifyUrl,
    verifyUrlFailOpen: verifyUrl !== undefined && values.get('verify-client-url-fail-open'),
    tailscaledSocket: socket,
  }
}
