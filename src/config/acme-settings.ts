// Resolves how a relay gets its certificates from an authority by ACME: which authority and account, which names, and by which
// challenges. Requests nothing.

import { isIP } from 'node:net'
import { ACME_OPTIONS } from './acme-options.ts'
import type { Diagnostics } from './diagnostics.ts'
import { isEveryAddress } from './endpoint.ts'
import type { HostInfo } from './host-info.ts'
import type { Listeners } from './listener-settings.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'
import type { AcmeName, AcmeSettings, ChallengeKind } from './settings.ts'

const DIRECTORIES = {
  letsencrypt: 'https://acme-v02.api.letsencrypt.org/directory',
  gcp: 'https://dv.acme-v02.api.pki.goog/directory',
} as const
/** Let's Encrypt issues certificates for addresses with this profile only. */
const ADDRESS_PROFILE = 'shortlived'
/** More public addresses than a relay uses; each needs an order of its own. */
const ADDRESSES_MAX = 8

/** Undefined after a problem. */
export function resolveAcme(
  values: OptionValues<ServeOptions>,
  {
    folder,
    hostname,
    listeners,
  }: { readonly hostname: string; readonly listeners: Listeners; readonly folder: string },
  host: HostInfo,
  diagnostics: Diagnostics,
): AcmeSettings | undefined {
  const isGoogle = values.get('certmode') === 'gcp'
  const email = resolveEmail(values, isGoogle, diagnostics)
  const eab = resolveEab(values, isGoogle, diagnostics)
  const names = resolveNames(values, { hostname, listeners }, host, diagnostics)
  const kinds = resolveKinds(values, { hostname, listeners }, diagnostics)
  if (names === undefined) return undefined
  const directoryUrl = values.get('acme-directory') ?? DIRECTORIES[isGoogle ? 'gcp' : 'letsencrypt']
  return { directoryUrl, email, eab, names, kinds, folder }
}

/** For certificates from files. */
export function warnOfUnusedAcmeOptions(values: OptionValues<ServeOptions>, diagnostics: Diagnostics): void {
  for (const name of ACME_OPTIONS) {
    if (!values.isGiven(name)) continue
    diagnostics.addWarning(`${values.where(name)}: has no effect with -certmode manual`)
  }
}

function resolveEmail(
  values: OptionValues<ServeOptions>,
  isRequired: boolean,
  diagnostics: Diagnostics,
): string | undefined {
  const email = values.get('acme-email')
  const expected = 'an e-mail address'
  if (email === undefined) {
    if (isRequired)
      diagnostics.addProblem(values.where('acme-email'), 'is not set', `${expected} for -certmode gcp`)
    return undefined
  }
  if (/^[^\s@?,]{1,64}@[^\s@?,]{1,255}$/.test(email)) return email
  return diagnostics.addProblem(
    values.where('acme-email'),
    `invalid value ${JSON.stringify(email)}`,
    expected,
  )
}

function resolveEab(
  values: OptionValues<ServeOptions>,
  isRequired: boolean,
  diagnostics: Diagnostics,
): AcmeSettings['eab'] {
  const [kid, key] = [values.get('acme-eab-kid'), values.get('acme-eab-key')]
  if (kid === undefined && key === undefined && !isRequired) return undefined
  const why = isRequired ? 'for -certmode gcp' : 'because the other half of the binding is set'
  if (kid === undefined)
    diagnostics.addProblem(values.where('acme-eab-kid'), 'is not set', `a key identifier ${why}`)
  if (key === undefined) {
    diagnostics.addProblem(values.where('acme-eab-key'), 'is not set', `a key in base64 or base64url ${why}`)
  } else if (!/^[\w+/-]{16,}={0,2}$/.test(key)) {
    // The key is a secret, so the message does not show it.
    return diagnostics.addProblem(
      values.where('acme-eab-key'),
      'contains other characters, or too few',
      'a key in base64 or base64url',
    )
  }
  return kid === undefined || key === undefined ? undefined : { kid, key }
}

/** The host name first. */
function resolveNames(
  values: OptionValues<ServeOptions>,
  { hostname, listeners }: { hostname: string; listeners: Listeners },
  host: HostInfo,
  diagnostics: Diagnostics,
): readonly AcmeName[] | undefined {
  const profile = values.get('acme-profile')
  const own: AcmeName = {
    name: hostname,
    profile: profile ?? (isIP(hostname) === 0 ? undefined : ADDRESS_PROFILE),
    isProfileRequired: profile !== undefined,
  }
  if (!values.get('acme-ip-certs')) {
    if (isIP(hostname) === 0) return [own]
    return diagnostics.addProblem(
      values.where('hostname'),
      `${hostname} is an IP address`,
      'a host name, or -acme-ip-certs for a certificate of 6 days, or -certmode manual for a self-signed one',
    )
  }
  if (isIP(hostname) !== 0) return [own]
  const { host: bound } = listeners.derp
  const addresses = isEveryAddress(bound) ? host.publicAddresses : isIP(bound) === 0 ? [] : [bound]
  if (addresses.length === 0) {
    diagnostics.addWarning(
      `${values.where('acme-ip-certs')}: this host has no public address of its own; only ${hostname} gets a certificate`,
    )
  }
  return [
    own,
    ...addresses.slice(0, ADDRESSES_MAX).map((name) => ({
      name,
      profile: ADDRESS_PROFILE,
      isProfileRequired: false,
    })),
  ]
}

/** The kinds of challenges to try, in this order. */
function resolveKinds(
  values: OptionValues<ServeOptions>,
  { hostname, listeners }: { hostname: string; listeners: Listeners },
  diagnostics: Diagnostics,
): readonly ChallengeKind[] {
  const chosen = values.get('acme-challenge')
  const { derp, http } = listeners
  if (chosen === 'tls-alpn-01') return ['tls-alpn-01']
  if (chosen === 'http-01') {
    if (http === undefined) {
      diagnostics.addProblem(
        values.where('http-port'),
        'is off',
        'a port for -acme-challenge http-01, which uses port 80',
      )
    }
    return ['http-01']
  }
  if (http === undefined) return ['tls-alpn-01']
  // As derper: names on the TLS port first, addresses on port 80. A port that the authority does not use comes last: it may be
  // reachable by a forwarding that the relay does not know.
  const kinds: ChallengeKind[] =
    isIP(hostname) === 0 ? ['tls-alpn-01', 'http-01'] : ['http-01', 'tls-alpn-01']
  const isStandard = (kind: ChallengeKind): boolean =>
    kind === 'http-01' ? http.port === 80 : derp.port === 443
  if (!kinds.some(isStandard)) {
    diagnostics.addWarning(
      `${values.where('acme-challenge')} auto: the authority connects to port 80 or 443 of ${hostname}; make sure that one of them leads to this relay's port ${http.port} or ${derp.port}`,
    )
  }
  return [...kinds.filter(isStandard), ...kinds.filter((kind) => !isStandard(kind))]
}
