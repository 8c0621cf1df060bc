// Resolves the admission policy: which clients may use the relay. A relay that listens on a public address needs one
// of its operator: a check of clients, or -open-relay.

import { readKeyList } from '#protocol/key-list.ts'
import type { KicksFrom } from '#protocol/kicks-from.ts'
import { parsePublicKey } from '#protocol/node-key.ts'
import { exists, readFileText, whyUnread } from './file-text.ts'
import type { Diagnostics } from './diagnostics.ts'
import type { HostInfo } from './host-info.ts'
import { endpointText, isLoopback } from './endpoint.ts'
import type { Listeners } from './listener-settings.ts'
import type { OptionValues } from './option-values.ts'
import type { ServeOptions } from './options.ts'
import type { AdmissionSettings } from './settings.ts'

/** Of what is no key: it may be a secret. */
const KEY_SHOWN_CHARS = 12
const KEY_LIST_EXPECTED = 'lines of "allow KEY", "allow KEY tenant NAME" or "deny KEY"'

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
  const hasCheck = verifyUrl !== undefined || socket !== undefined || allowKeysPath !== undefined
  const saysOpen = values.get('open-relay')
  if (saysOpen && hasCheck) {
    const check =
      verifyUrl !== undefined
        ? 'verify-client-url'
        : socket !== undefined
          ? 'verify-clients'
          : 'allow-keys-file'
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
  )
  if (isKnown && !saysOpen && !hasCheck && values.get('derp') && !isLoopback(derp.host)) {
    diagnostics.addProblem(
      values.where(values.get('dev') ? 'dev' : 'listen'),
      `${endpointText(derp)} is not loopback, and no admission policy is set`,
      '-verify-client-url URL (for Headscale: https://HEADSCALE/verify), ' +
        '-verify-clients (clients known to the local tailscaled), -allow-keys-file FILE, or -open-relay (every client)',
    )
  }
  if (values.get('isolate-tenants') && allowKeysPath === undefined) {
    // A warning would leave everybody in one tenant.
    diagnostics.addProblem(
      values.where('isolate-tenants'),
      'nothing says which tenant a client is of',
      '-allow-keys-file FILE with lines of "allow KEY tenant NAME"',
    )
  }
  return {
    isOpen: !hasCheck,
    verifyUrl,
    verifyUrlFailOpen: verifyUrl !== undefined && values.get('verify-client-url-fail-open'),
    tailscaledSocket: socket,
    allowKeysPath,
    isolatesTenants: values.get('isolate-tenants'),
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
