// Resolves the admission policy: which clients may use the relay. A relay that listens on a public address needs one
// of its operator: a check of clients, or -open-relay.

import { readKeyList } from '#protocol/key-list.ts'
import type { KicksFrom } from '#protocol/kicks-from.ts'
import { LEASE_KEY_EXPECTED, parseLeaseKey, readLease } from '#protocol/lease.ts'
import { parsePublicKey } from '#protocol/node-key.ts'
import { exists, readFileText, whyUnread } from './file-text.ts'
import type { Diagnostics } from './diagnostics.ts'
import type { HostInfo } from './host-info.ts'
import { endpointText, isLoopback } from './endpoint.ts'
import type { Listeners } from './listener-settings.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'
import type { AdmissionSettings, LeaseSettings } from './settings.ts'

/** Of what is no key: it may be a secret. */
const KEY_SHOWN_CHARS = 12
const KEY_LIST_EXPECTED = 'lines of "allow KEY", "allow KEY tenant NAME" or "deny KEY"'
const LEASE_EXPECTED = 'a lease as "derpfleet lease make" makes it'
/** Two while one is exchanged for the other. */
const LEASE_KEYS_MAX = 8

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
  const allowKeysPath = resolveKeyList(values, diagnostics)
  const lease = resolveLease(values, host, diagnostics)
  const hasLease = values.get('lease-file') !== undefined
  const hasCheck = verifyUrl !== undefined || socket !== undefined || allowKeysPath !== undefined || hasLease
  const saysOpen = values.get('open-relay')
  if (saysOpen && hasCheck) {
    const check =
      verifyUrl !== undefined
        ? 'verify-client-url'
        : socket !== undefined
          ? 'verify-clients'
          : allowKeysPath !== undefined
            ? 'allow-keys-file'
            : 'lease-file'
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
    'allow-keys-file',
    'lease-file',
  )
  if (isKnown && !saysOpen && !hasCheck && values.get('derp') && !isLoopback(derp.host)) {
    diagnostics.addProblem(
      values.where(values.get('dev') ? 'dev' : 'listen'),
      `${endpointText(derp)} is not loopback, and no admission policy is set`,
      '-verify-client-url URL (for Headscale: https://HEADSCALE/verify), ' +
        '-verify-clients (clients known to the local tailscaled), -allow-keys-file FILE, -lease-file FILE, or -open-relay (every client)',
    )
  }
  if (allowKeysPath === undefined && !hasLease) refuseTenants(values, diagnostics)
  return {
    isOpen: !hasCheck,
    verifyUrl,
    verifyUrlFailOpen: verifyUrl !== undefined && values.get('verify-client-url-fail-open'),
    tailscaledSocket: socket,
    allowKeysPath,
    isolatesTenants: values.get('isolate-tenants'),
    lease,
    graceMs: values.get('admission-grace'),
    trustsSiblings: values.get('admission-trusts-siblings'),
    recheckMs: values.get('admission-recheck'),
    kicksFrom: resolveKicksFrom(values, diagnostics),
  }
}

function resolveKicksFrom(values: OptionValues<ServeOptions>, diagnostics: Diagnostics): KicksFrom {
  const given = values.get('kicks-from') ?? []
  if (given.length === 1 && given[0] === 'siblings') return 'siblings'
  for (const text of given) {
    if (parsePublicKey(text) !== undefined) continue
    diagnostics.addProblem(
      values.where('kicks-from'),
      `invalid key ${JSON.stringify(text.slice(0, KEY_SHOWN_CHARS))}`,
      'nodekey:<64 hex digits> of each relay, as derpfleet status prints it; or siblings alone, for all of them',
    )
  }
  return given
}

/** Nothing says who is of which tenant. A warning would leave everybody in one. */
function refuseTenants(values: OptionValues<ServeOptions>, diagnostics: Diagnostics): void {
  if (!values.get('isolate-tenants')) return
  diagnostics.addProblem(
    values.where('isolate-tenants'),
    'nothing says which tenant a client is of',
    '-allow-keys-file FILE with lines of "allow KEY tenant NAME", or -lease-file FILE',
  )
}

/** The path of the list of keys; its content is read again by the relay itself. */
function resolveKeyList(values: OptionValues<ServeOptions>, diagnostics: Diagnostics): string | undefined {
  const path = values.get('allow-keys-file')
  if (path === undefined) return undefined
  const where = values.where('allow-keys-file')
  const file = readFileText(path)
  if (!('text' in file)) {
    diagnostics.addProblem(where, `${path} ${whyUnread(file)}`, KEY_LIST_EXPECTED)
    return path
  }
  const read = readKeyList(path, file.text)
  if ('problems' in read) for (const problem of read.problems) diagnostics.addProblem(where, problem)
  return path
}

/** What the file has is read again by the relay itself: a lease that is not valid now is no reason not to start. */
function resolveLease(
  values: OptionValues<ServeOptions>,
  host: HostInfo,
  diagnostics: Diagnostics,
): LeaseSettings | undefined {
  const path = values.get('lease-file')
  const keys = values.get('lease-key') ?? []
  if (path === undefined) return undefined
  const where = values.where('lease-key')
  if (keys.length === 0) return diagnostics.addProblem(where, 'is not set', LEASE_KEY_EXPECTED)
  if (keys.length > LEASE_KEYS_MAX)
    return diagnostics.addProblem(where, `has ${keys.length} keys`, `at most ${LEASE_KEYS_MAX}`)
  const wrong = keys.find((key) => parseLeaseKey(key) === undefined)
  if (wrong !== undefined)
    return diagnostics.addProblem(
      where,
      `has a value of ${wrong.length} characters that is no key`,
      LEASE_KEY_EXPECTED,
    )
  const file = readFileText(path)
  if (!('text' in file))
    return diagnostics.addProblem(values.where('lease-file'), `${path} ${whyUnread(file)}`, LEASE_EXPECTED)
  const read = readLease(file.text, keys)
  const ended = 'lease' in read && read.lease.notAfterMs <= host.nowMs ? 'has ended' : undefined
  const problem = 'problem' in read ? read.problem : ended
  if (problem !== undefined) diagnostics.addWarning(`${path} ${problem}; it admits no client`)
  return { path, keys }
}
