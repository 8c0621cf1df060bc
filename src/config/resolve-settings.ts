// The second step to the settings: resolves the options into settings for this host. Reads the files that the options
// name, and checks everything before it returns the settings or all problems. Writes nothing: the files that a first
// start creates are returned as a plan.

import { isIP } from 'node:net'
import { APP_NAME_BYTES_MAX } from '#protocol/limits.ts'
import type { Problem } from '#fleet/problem.ts'
import { resolveAcme, warnOfUnusedAcmeOptions } from './acme-settings.ts'
import { resolveAdmission } from './admission-settings.ts'
import { certificateFolder, resolveCertificate } from './certificate-settings.ts'
import { Diagnostics } from './diagnostics.ts'
import type { HostInfo } from './host-info.ts'
import { resolveLane } from './lane-settings.ts'
import { resolveLimits } from './limit-settings.ts'
import { resolveListeners } from './listener-settings.ts'
import type { NewFile } from './new-files.ts'
import { resolveMesh } from './mesh-settings.ts'
import { warnOfIneffectiveOptions } from './option-dependencies.ts'
import { resolveMeshKeys, resolveNodeKey } from './key-settings.ts'
import type { OptionValues } from './option-values.ts'
import { OPTIONS, type ServeOptions } from './options.ts'
import type { Option, Unsupported } from './option.ts'
import type { RawSettings } from './read-settings.ts'
import type { Settings } from './settings.ts'
import { resolveStateFolder } from './state-folder.ts'
import { resolveVerbsToken } from './verbs-token.ts'

export type Resolution =
  | {
      readonly settings: Settings
      /** Files to create before the start, by `createFiles`. */
      readonly newFiles: readonly NewFile[]
    }
  | { readonly problems: readonly Problem[] }

export function resolveSettings(raw: RawSettings, host: HostInfo): Resolution {
  const { values } = raw
  const diagnostics = new Diagnostics()
  diagnostics.problems.push(...raw.problems)
  diagnostics.warnings.push(...raw.warnings)
  reportUnsupportedOptions(values, diagnostics)
  const listeners = resolveListeners(values, diagnostics)
  // With an invalid port or mode it is unknown whether the relay speaks TLS, so checks that depend on TLS are
  // skipped.
  const isTlsKnown = values.areValid('listen', 'certmode', 'dev', 'tls')
  if (isTlsKnown) warnOfIneffectiveOptions(values, listeners.isTls, diagnostics)
  const hostname = resolveHostname(values, isTlsKnown && listeners.isTls, diagnostics)
  const nodeKey = resolveNodeKey(values, host, diagnostics)
  const meshKeys = resolveMeshKeys(values, host, diagnostics)
  const mesh = resolveMesh(values, meshKeys.keys.length > 0, diagnostics)
  const isTls = isTlsKnown && listeners.isTls
  const isManual = values.get('certmode') === 'manual'
  if (isTls && isManual) warnOfUnusedAcmeOptions(values, diagnostics)
  const certificate =
    isTls && isManual ? resolveCertificate(values, { hostname, listeners }, host, diagnostics) : undefined
  const acme =
    isTls && !isManual && hostname !== undefined
      ? resolveAcme(
          values,
          { hostname, listeners, folder: certificateFolder(values, host) },
          host,
          diagnostics,
        )
      : undefined
  const admission = resolveAdmission(values, listeners, host, diagnostics)
  const limits = resolveLimits(values, { isTls: listeners.isTls, memoryBytes: host.memoryBytes }, diagnostics)
  const home = resolveHome(values, diagnostics)
  const disallowedAppNames = resolveAppNames(values, diagnostics)
  const verbsToken = resolveVerbsToken(values, diagnostics)
  const lane = resolveLane(values, diagnostics)
  if (diagnostics.problems.length > 0 || nodeKey === undefined || hostname === undefined) {
    return { problems: diagnostics.problems }
  }
  const { derp, http, stun, admin } = listeners
  const settings: Settings = {
    nodeKey,
    meshKeys: meshKeys.keys,
    meshKeyPath: meshKeys.path,
    mesh,
    stateFolder: resolveStateFolder(values, nodeKey.publicKey, host),
    derp,
    http,
    stun,
    lane,
    admin,
    verbsToken,
    hostname,
    isTls,
    certificate,
    acme,
    tlsMaxVersion: values.get('tls-max-version') === '1.2' ? 'TLSv1.2' : 'TLSv1.3',
    isDerpEnabled: values.get('derp'),
    threadCount: threadCountOf(values, host, diagnostics),
    ...waysOf(values),
    admission,
    disallowedAppNames,
    limits,
    drain: drainOf(values),
    measure: measureOf(values),
    home,
    ...shownOf(values),
    bootstrapDnsNames: values.get('bootstrap-dns-names') ?? [],
    warnings: diagnostics.warnings,
  }
  return { settings: frozen(settings), newFiles: diagnostics.newFiles }
}

/** More threads than processors are allowed: for trials, and where the kernel says less than there is. */
function threadCountOf(
  values: OptionValues<ServeOptions>,
  { coreCount }: HostInfo,
  diagnostics: Diagnostics,
): number {
  const given = values.get('threads')
  if (given === undefined || given <= coreCount) return given ?? coreCount
  const processors = coreCount === 1 ? 'one processor' : `${coreCount} processors`
  diagnostics.addWarning(
    `${values.where('threads')} ${given}: this process may use ${processors}; threads that share one wait for each other, and so do packets`,
  )
  return given
}

function shownOf(
  values: OptionValues<ServeOptions>,
): Pick<Settings, 'adminNames' | 'isStatusPublic' | 'logLevel' | 'shown'> {
  return {
    adminNames: values.get('admin-names') ?? [],
    isStatusPublic: values.get('public-status'),
    logLevel: values.get('log-level'),
    shown: { keys: values.get('show-keys'), addresses: values.get('show-addresses') },
  }
}

function waysOf(
  values: OptionValues<ServeOptions>,
): Pick<Settings, 'connections' | 'native' | 'pollIntervalMs'> {
  return {
    native: values.get('native'),
    connections: values.get('connections'),
    pollIntervalMs: values.get('poll-interval'),
  }
}

function measureOf(values: OptionValues<ServeOptions>): Settings['measure'] {
  return {
    countries: values.get('countries'),
    isRankingServed: values.get('serve-regions'),
    capacityBits: values.get('capacity-bits'),
  }
}

function drainOf(values: OptionValues<ServeOptions>): Settings['drain'] {
  return {
    settleMs: values.get('drain-settle'),
    spreadMs: values.get('drain-spread'),
    scrapeWaitMs: values.get('drain-scrape-wait'),
  }
}

/** Reports derper's options that have no effect here, so that an operator who comes from derper is not surprised. */
function reportUnsupportedOptions(values: OptionValues<ServeOptions>, diagnostics: Diagnostics): void {
  for (const [name, option] of Object.entries<Option>(OPTIONS)) {
    if (option.unsupported === undefined) continue
    const value = values.get(name as keyof ServeOptions)
    if (value === undefined || value === false || (Array.isArray(value) && value.length === 0)) continue
    reportUnsupported(values.where(name as keyof ServeOptions), option.unsupported, diagnostics)
  }
}

function reportUnsupported(where: string, { effect, instead }: Unsupported, diagnostics: Diagnostics): void {
  const found = `is not supported; ${instead}`
  if (effect === 'error') diagnostics.addProblem(where, found)
  else diagnostics.addWarning(`${where}: ${found}`)
}

function resolveHostname(
  values: OptionValues<ServeOptions>,
  isTls: boolean,
  diagnostics: Diagnostics,
): string | undefined {
  const { expected } = OPTIONS.hostname.kind
  const hostname = values.get('hostname')
  if (hostname === undefined) {
    return isTls ? diagnostics.addProblem(values.where('hostname'), 'is not set', expected) : 'localhost'
  }
  if (isIP(hostname) !== 0 || /^[a-zA-Z0-9_]([\w.-]{0,252})$/.test(hostname)) return hostname
  return diagnostics.addProblem(
    values.where('hostname'),
    `invalid value ${JSON.stringify(hostname)}`,
    expected,
  )
}

function resolveHome(values: OptionValues<ServeOptions>, diagnostics: Diagnostics): Settings['home'] {
  const home = values.get('home')
  if (home === undefined) return { kind: 'page' }
  if (home === 'blank') return { kind: 'blank' }
  if (/^https?:\/\//.test(home) && URL.canParse(home)) return { kind: 'redirect', url: home }
  diagnostics.addProblem(
    values.where('home'),
    `invalid value ${JSON.stringify(home)}`,
    OPTIONS.home.kind.expected,
  )
  return { kind: 'page' }
}

/** A name that no client can have is a mistake: it would refuse no client. */
function resolveAppNames(values: OptionValues<ServeOptions>, diagnostics: Diagnostics): readonly string[] {
  const names = values.get('disallow-app-names') ?? []
  for (const name of names) {
    if (/^[\x20-\x7e]+$/.test(name) && name.length <= APP_NAME_BYTES_MAX) continue
    diagnostics.addProblem(
      values.where('disallow-app-names'),
      `invalid application name ${JSON.stringify(name)}`,
      `up to ${APP_NAME_BYTES_MAX} printable ASCII characters`,
    )
  }
  return names
}

/** Frozen, because all parts of the relay share them. */
function frozen(settings: Settings): Settings {
  for (const part of Object.values(settings)) {
    if (isPlain(part)) Object.freeze(part)
  }
  Object.freeze(settings.limits.rate)
  return Object.freeze(settings)
}

/** Bytes cannot be frozen. */
function isPlain(part: unknown): boolean {
  return typeof part === 'object' && part !== null && (Array.isArray(part) || part.constructor === Object)
}
